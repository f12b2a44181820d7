import dataclasses

import pytest

from app.tui.chat_options import ChatOptions, parse_number, parse_options
from models.errors import InvalidInput


def test_unset_options_are_left_to_the_model() -> None:
    assert ChatOptions().request_fields() == {}
    assert ChatOptions().summary() == ""


def test_set_options_take_the_names_of_the_api() -> None:
    options = ChatOptions(temperature=0.0, max_tokens=100, thinking="off")
    assert options.request_fields() == {
        "options": {"temperature": 0.0, "num_predict": 100},
        "think": False,
    }
    assert options.summary() == "temperature 0.0, max tokens 100, thinking off"


def test_numbers_are_read_and_blank_means_default() -> None:
    assert parse_number("temperature", " 0.7 ") == 0.7
    assert parse_number("top_k", "40") == 40
    assert parse_number("seed", "  ") is None


@pytest.mark.parametrize(
    ("name", "text"), [("temperature", "hot"), ("top_p", "1.5"), ("top_k", "4.5"), ("seed", "-1")]
)
def test_bad_numbers_are_refused_with_what_would_do(name: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"must be a (whole )?number from 0 to") as caught:
        parse_number(name, text)
    assert text in caught.value.message


def test_stored_options_come_back_and_strange_names_are_passed_over() -> None:
    options = ChatOptions(top_p=0.5, system="Be brief.")
    assert parse_options(dataclasses.asdict(options) | {"of_tomorrow": 1}) == options

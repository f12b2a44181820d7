"""What the environment may say."""

import math
from pathlib import Path

import pytest

from app.durations import parse_duration, parse_keep_alive, parse_seconds
from app.settings import parse_address, parse_size, read_settings
from models.errors import InvalidInput


def test_without_variables_ollamas_address_and_a_home_of_our_own() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 11434)
    assert settings.home == Path.home() / ".localllm"
    assert settings.keep_alive_s == 300


def test_our_variables_come_before_ollamas() -> None:
    assert read_settings({"OLLAMA_KEEP_ALIVE": "1h"}).keep_alive_s == 3600
    both = {"OLLAMA_KEEP_ALIVE": "1h", "LOCALLLM_KEEP_ALIVE": "-1"}
    assert read_settings(both).keep_alive_s == math.inf


def test_an_empty_variable_is_not_set() -> None:
    assert read_settings({"LOCALLLM_MAX_QUEUE": "", "OLLAMA_MAX_QUEUE": "7"}).max_queue == 7


def test_a_misspelt_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInput, match="LOCALLLM_KEEPALIVE means nothing") as caught:
        read_settings({"LOCALLLM_KEEPALIVE": "1h"})
    assert caught.value.hint == "did you mean LOCALLLM_KEEP_ALIVE?"


def test_a_bad_value_names_its_variable() -> None:
    with pytest.raises(InvalidInput, match="LOCALLLM_MEMORY: 'much' is not a size"):
        read_settings({"LOCALLLM_MEMORY": "much"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0", ("0.0.0.0", 11434)),
        ("localhost:80", ("localhost", 80)),
        (":0", ("127.0.0.1", 0)),
        ("[::1]:5", ("::1", 5)),
        ("http://box:1234/", ("box", 1234)),
    ],
)
def test_an_address_is_written_as_ollamas(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["https://box", "a:b", "box:99999", "box/path"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        parse_address(text)


def test_sizes_have_decimal_and_binary_units() -> None:
    assert [parse_size(text) for text in ("5", "2k", "1.5GB", "2GiB", "3 MiB")] == [
        5,
        2000,
        1_500_000_000,
        2 << 30,
        3 << 20,
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("1h30m", 5400), ("-1.5s", -1.5), ("0", 0), (".5m", 30), ("+2us", 2e-6)],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("soon", 'time: invalid duration "soon"'),
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1h2", 'time: missing unit in duration "1h2"'),
    ],
)
def test_bad_durations_are_refused_in_gos_words(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_duration(text)
    assert caught.value.message == complaint


def test_keep_alive_takes_numbers_and_durations() -> None:
    assert [parse_keep_alive(value) for value in (90, 0.5, 0, "2m", -1, "-1m")] == [
        90,
        0.5,
        0,
        120,
        math.inf,
        math.inf,
    ]
    for value in (True, [], "90"):
        with pytest.raises(InvalidInput):
            parse_keep_alive(value)
    assert parse_seconds("90") == 90

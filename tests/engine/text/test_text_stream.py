import random

import pytest

from engine.text.output_parser import ToolCall, make_output_parser
from engine.text.text_stream import TextDelta, TextStream
from engine.tokenizer import Tokenizer
from tests.engine.vocabularies import bpe_values, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    special = ["[TOOL_CALLS]", "<|im_end|>", "<s>", "</s>"]
    return make_tokenizer(bpe_values(["s t", "st o", "sto p", "a b"], special=special))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special=False)


def total(deltas: list[TextDelta]) -> str:
    return "".join(delta.content for delta in deltas)


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("hello stop there", ("stop",), "hello "),
        ("hello", ("stop",), "hello"),
        ("hello sto", ("stop",), "hello sto"),
        ("aab", ("ab",), "a"),
        ("abcabd", ("abd",), "abc"),
        ("one\n\ntwo", ("x", "\n\n"), "one"),
        ("é🙂ü", ("🙂",), "é"),
        ("stop", ("stop",), ""),
        ("abc", ("", "z"), "abc"),
        ("xyz", ("yz", "xy"), ""),
    ],
)
def test_nothing_from_a_stop_string_on_is_shown(
    tokenizer: Tokenizer, text: str, stop: tuple[str, ...], shown: str
) -> None:
    token_ids = ids(tokenizer, text)
    one_by_one = TextStream(tokenizer, None, stop)
    deltas = [one_by_one.add([token_id]) for token_id in token_ids]
    deltas.append(one_by_one.finish())
    assert total(deltas) == shown
    assert deltas[-1].stopped == (shown != text)
    at_once = TextStream(tokenizer, None, stop)
    assert total([at_once.add(token_ids), at_once.finish()]) == shown


def test_tokens_after_a_stop_string_are_not_used(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, None, ("ab",))
    delta = stream.add(ids(tokenizer, "x") + ids(tokenizer, "ab") + ids(tokenizer, "yy"))
    assert delta == TextDelta(content="x", stop="ab", num_tokens=2)
    assert stream.add(ids(tokenizer, "z")) == TextDelta(stop="ab")
    assert stream.finish() == TextDelta(stop="ab")


def test_half_a_character_at_the_end_is_shown_as_such(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    assert stream.add(ids(tokenizer, "a🙂")[:-1]).content == "a"
    assert stream.finish().content == "\ufffd"


def test_end_tokens_are_silent_and_the_parsers_marks_are_seen(tokenizer: Tokenizer) -> None:
    token_ids = ids(tokenizer, 'ok[TOOL_CALLS][{"name": "f", "arguments": {}}]<|im_end|>')
    stream = TextStream(tokenizer, make_output_parser("[TOOL_CALLS]"))
    deltas = [stream.add([token_id]) for token_id in token_ids]
    deltas.append(stream.finish())
    assert total(deltas) == "ok"
    assert [call for delta in deltas for call in delta.tool_calls] == [ToolCall("f", {})]
    plain = TextStream(tokenizer)
    assert plain.add(token_ids).content == 'ok[{"name": "f", "arguments": {}}]'


def test_thinking_and_content_come_apart_however_tokens_are_grouped(tokenizer: Tokenizer) -> None:
    token_ids = ids(tokenizer, "<think>\nhm é\n</think>\n\nYes 🙂")
    chooser = random.Random(3)
    for _ in range(20):
        stream = TextStream(tokenizer, make_output_parser("<think></think>"))
        deltas, rest = [], token_ids
        while rest:
            size = chooser.randint(1, 5)
            deltas.append(stream.add(rest[:size]))
            rest = rest[size:]
        deltas.append(stream.finish())
        assert "".join(delta.thinking for delta in deltas) == "hm é"
        assert total(deltas) == "Yes 🙂"

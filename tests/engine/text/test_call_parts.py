import json
import random

import pytest

from engine.text.json_text import JsonText
from engine.text.output_parser import CallPart, ToolCall, make_output_parser

VALUES = [
    {},
    {"city": "Paris"},
    {"a": [1, 2.5, -1e5, True, None, {"b": {}}], "c": 'x\n"\\ é 😀 \x7f'},
    {"half of a pair": "\ud83dx", "b": ""},
]
LONG = "word " * 50
QWEN = "<tool_call> </tool_call>"
HARMONY = "<|channel|><|message|>"
STREAMED = {
    "hermes": (QWEN, f'<tool_call>\n{{"name": "f", "arguments": {{"a": "{LONG}"}}}}\n</tool_call>'),
    "coder": (
        QWEN,
        f"<tool_call>\n<function=f>\n<parameter=a>\n{LONG}\n</parameter>\n"
        f"<parameter=b>\n{LONG}\n</parameter>\n</function>\n</tool_call>",
    ),
    "mistral": ("[TOOL_CALLS][ARGS]", f'[TOOL_CALLS]f[ARGS]{{"a": "{LONG}"}}'),
    "harmony": (
        HARMONY,
        f'<|channel|>commentary to=functions.f <|constrain|>json<|message|>{{"a": "{LONG}"}}',
    ),
}


@pytest.mark.parametrize("style", [{}, {"separators": (",", ":")}, {"indent": 2}])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_any_json_becomes_what_dumps_writes_however_it_arrives(style, is_ascii: bool) -> None:
    chooser = random.Random(0)
    for value in VALUES:
        text = json.dumps(value, ensure_ascii=is_ascii, **style)
        wanted = json.dumps(value, ensure_ascii=False)
        for _ in range(20):
            reader, written, place = JsonText(), "", 0
            while place < len(text):
                size = chooser.choice([1, 2, 5, 100])
                written += reader.feed(text[place : place + size])
                place += size
                assert wanted.startswith(written)
            assert (written, reader.is_whole) == (wanted, True)


@pytest.mark.parametrize("text", ["{'a': 1}", '{"a": nope}', '{"a": "\\x"}'])
def test_what_is_no_json_is_not_gone_on_with(text: str) -> None:
    reader = JsonText()
    reader.feed(text)
    assert reader.is_broken


@pytest.mark.parametrize("name", STREAMED)
def test_arguments_are_said_before_the_call_is_whole(name: str) -> None:
    source, text = STREAMED[name]
    parser = make_output_parser(source)
    pieces = [piece for letter in text for piece in parser.feed(letter)]
    half = text[: text.index(LONG) + len(LONG) + 14]
    early = make_output_parser(source).feed(half)
    said = "".join(piece.arguments for piece in early if isinstance(piece, CallPart))
    assert LONG.strip() in said
    assert not any(isinstance(piece, ToolCall) for piece in early)
    pieces += parser.finish()
    (call,) = (piece for piece in pieces if isinstance(piece, ToolCall))
    parts = [piece for piece in pieces if isinstance(piece, CallPart)]
    assert "".join(part.arguments for part in parts) == json.dumps(call.arguments)
    assert len(parts) > (2 if name == "coder" else 50)


def test_calls_behind_a_broken_one_have_numbers_of_their_own() -> None:
    parser = make_output_parser(QWEN)
    pieces = parser.feed('<tool_call>{"name": "f", "arguments": {"a": 1,}}</tool_call>')
    pieces += parser.feed('<tool_call>{"name": "g", "arguments": {}}</tool_call>')
    parts = [piece for piece in pieces if isinstance(piece, CallPart)]
    assert [(part.index, part.name) for part in parts if part.name] == [(0, "f"), (1, "g")]

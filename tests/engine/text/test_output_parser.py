import json
import random

import pytest

from engine.text.output_parser import (
    CallPart,
    Content,
    Piece,
    Thinking,
    ToolCall,
    make_output_parser,
    opens_thinking,
)

WEATHER = ToolCall("get_weather", {"city": "Paris"})

QWEN = "<think></think> <tool_call> </tool_call>"
LLAMA = '<|start_header_id|> "parameters" <|python_tag|>'
HARMONY = "<|channel|><|message|>"
DEEPSEEK = "</think> <｜tool▁calls▁begin｜>"  # noqa: RUF001

CASES = {
    "hermes": (
        QWEN,
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
        [WEATHER],
    ),
    "text before a call": (
        QWEN,
        'Let me see.\n<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}'
        "</tool_call>\n",
        [Content("Let me see."), WEATHER],
    ),
    "two calls": (
        QWEN,
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n'
        '{"name": "g", "arguments": {"a": [1, {"b": "</x>"}]}}\n</tool_call>',
        [ToolCall("f", {}), ToolCall("g", {"a": [1, {"b": "</x>"}]})],
    ),
    "thinking, then an answer": (
        QWEN,
        "<think>\nIs 1 < 2?\n</think>\n\nYes: 1 < 2.\n",
        [Thinking("Is 1 < 2?"), Content("Yes: 1 < 2.\n")],
    ),
    "thinking, then a call": (
        QWEN,
        '<think>\nhm\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>',
        [Thinking("hm"), ToolCall("f", {"x": 1})],
    ),
    "empty thinking": (QWEN, "<think>\n\n</think>\n\nHello", [Content("Hello")]),
    "tag in the middle of an answer": (
        QWEN,
        "The tag <think> opens it.",
        [Content("The tag <think> opens it.")],
    ),
    "unparsable call": (
        QWEN,
        "a <tool_call>{nonsense}</tool_call> b",
        [Content("a <tool_call>{nonsense}</tool_call> b")],
    ),
    "unfinished call": (
        QWEN,
        '<tool_call>\n{"name": "f"',
        [Content('<tool_call>\n{"name": "f"')],
    ),
    "two functions in one call": (
        QWEN,
        "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=a>\ny\n</parameter>\n"
        '</function>\n<function=g></function><function=h>{"b": 1}</function>\n</tool_call>',
        [ToolCall("f", {"a": "x"}), ToolCall("g", {}), ToolCall("h", {"b": 1})],
    ),
    "members in another order": (
        QWEN,
        '<tool_call>[{"id": 1, "parameters": {"a": "}{"}, "type": "function", "name": "f"}, '
        '{"type": "function", "function": {"name": "g"}}, '
        '{"function": {"arguments": "{\\"b\\": 2}", "name": "h"}}]</tool_call>',
        [ToolCall("f", {"a": "}{"}), ToolCall("g", {}), ToolCall("h", {"b": 2})],
    ),
    "almost a mark": (QWEN, "x <tool_cal> <tool_", [Content("x <tool_cal> <tool_")]),
    "qwen3-coder": (
        QWEN,
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        [ToolCall("get_weather", {"city": "Paris", "days": 3})],
    ),
    "glm": (
        QWEN,
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
        "</tool_call>",
        [WEATHER],
    ),
    "llama json": (LLAMA, '{"name": "get_weather", "parameters": {"city": "Paris"}}', [WEATHER]),
    "llama two": (
        LLAMA,
        '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}',
        [ToolCall("f", {}), ToolCall("g", {})],
    ),
    "llama answers in json": (LLAMA, '{"city": "Paris"}', [Content('{"city": "Paris"}')]),
    "llama names itself": (
        LLAMA,
        '{"name": "Bob", "age": 3',
        [Content('{"name": "Bob", "age": 3')],
    ),
    "llama python tag": (
        LLAMA,
        '<|python_tag|>brave_search.call(query="x y")',
        [ToolCall("brave_search", {"query": "x y"})],
    ),
    "mistral": (
        "[TOOL_CALLS]",
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}}]',
        [WEATHER],
    ),
    "mistral new": (
        "[TOOL_CALLS][ARGS][THINK]",
        '[THINK]so[/THINK]ok[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]f[ARGS]{}',
        [Thinking("so"), Content("ok"), WEATHER, ToolCall("f", {})],
    ),
    "deepseek r1": (
        DEEPSEEK,
        "<think>t</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>"  # noqa: RUF001
        'get_weather\n```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',  # noqa: RUF001
        [Thinking("t"), WEATHER],
    ),
    "deepseek v3.1": (
        DEEPSEEK,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"  # noqa: RUF001
        '{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',  # noqa: RUF001
        [WEATHER],
    ),
    "phi": (
        "<|tool_call|><|/tool_call|>",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>',
        [WEATHER],
    ),
    "granite 3": (
        "<|tool_call|>",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]',
        [WEATHER],
    ),
    "command r": (
        "<|START_THINKING|><|START_ACTION|>",
        "<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[\n"
        '{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris"}}'
        "\n]<|END_ACTION|>",
        [Thinking("hm"), WEATHER],
    ),
    "command r answers": (
        "<|START_THINKING|><|START_ACTION|>",
        "<|START_RESPONSE|>Hi.<|END_RESPONSE|>",
        [Content("Hi.")],
    ),
    "gemma 3": (
        "```tool_code",
        '```tool_code\nget_weather(city="Paris")\n```',
        [WEATHER],
    ),
    "function gemma": (
        "<start_function_call>",
        "<start_function_call>call:get_weather{city:<escape>Paris<escape>}<end_function_call>",
        [WEATHER],
    ),
    "gemma 4": (
        "<|tool_call>",
        '<|tool_call>call:f{a:[1,2],b:{c:<|"|>x, y:z<|"|>},d:true}<tool_call|>',
        [ToolCall("f", {"a": [1, 2], "b": {"c": "x, y:z"}, "d": True})],
    ),
    "kimi": (
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        '<|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>',
        [WEATHER],
    ),
    "lfm2": (
        "<|tool_call_start|>",
        '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>Checking.',
        [WEATHER, Content("Checking.")],
    ),
    "minimax": (
        "<minimax:tool_call>",
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>'
        "\n</invoke>\n</minimax:tool_call>",
        [WEATHER],
    ),
    "harmony": (
        HARMONY,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi!",
        [Thinking("Hm."), Content("Hi!")],
    ),
    "harmony call": (
        HARMONY,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris"}',
        [Thinking("Hm."), WEATHER],
    ),
    "harmony recipient first": (
        HARMONY,
        ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}<|call|>',
        [WEATHER],
    ),
    "harmony without a header": (HARMONY, "Just text.", [Content("Just text.")]),
    "plain": ("", "  a  b \n", [Content("  a  b \n")]),
}


def joined(pieces: list[Piece]) -> list[Piece]:
    out: list[Piece] = []
    for piece in pieces:
        last = out[-1] if out else None
        if isinstance(piece, Content | Thinking) and type(last) is type(piece):
            assert isinstance(last, Content | Thinking)
            out[-1] = type(piece)(last.text + piece.text)
        else:
            out.append(piece)
    return out


def run(source: str, chunks: list[str], **options: bool) -> list[Piece]:
    parser = make_output_parser(source, **options)
    pieces = [piece for chunk in chunks for piece in parser.feed(chunk)]
    pieces += parser.finish()
    check_parts(pieces)
    return joined([piece for piece in pieces if not isinstance(piece, CallPart)])


def check_parts(pieces: list[Piece]) -> None:
    """Parts of one call come after those of another, and are the call's JSON when joined."""
    calls, texts, latest = [], {}, 0
    for piece in pieces:
        if isinstance(piece, CallPart):
            assert (piece.index in texts) is not bool(piece.name)
            assert piece.index >= latest or (piece.is_last and not piece.arguments)
            latest = max(latest, piece.index)
            name, text = texts.get(piece.index, (piece.name, ""))
            texts[piece.index] = name, text + piece.arguments
        elif isinstance(piece, ToolCall):
            calls.append((piece.name, json.dumps(piece.arguments, ensure_ascii=False)))
    assert list(texts.values())[: len(calls)] == calls


@pytest.mark.parametrize("case", CASES)
def test_each_format_is_split_as_its_model_means_it(case: str) -> None:
    source, text, expected = CASES[case]
    assert run(source, [text]) == expected


@pytest.mark.parametrize("case", CASES)
def test_the_split_does_not_depend_on_how_the_text_arrives(case: str) -> None:
    source, text, expected = CASES[case]
    assert run(source, list(text)) == expected
    chooser = random.Random(case)
    for _ in range(30):
        cuts = sorted(chooser.sample(range(len(text) + 1), min(5, len(text))))
        chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert run(source, chunks) == expected


def test_an_answer_that_begins_inside_thinking_is_thinking_until_it_closes() -> None:
    text = "so\n\nand so\n</think>\n\nAnswer"
    expected = [Thinking("so\n\nand so"), Content("Answer")]
    assert run(QWEN, [text], thinking_open=True) == expected
    assert run(QWEN, list(text), thinking_open=True) == expected
    assert run("no tags here", list(text), thinking_open=True) == expected


def test_a_model_that_repeats_the_opened_tag_is_understood() -> None:
    assert run(QWEN, ["<think>\na</think>b"], thinking_open=True) == [Thinking("a"), Content("b")]


def test_without_tools_a_call_is_content() -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    assert run(QWEN, list(text), has_tools=False) == [Content(text)]
    assert run(LLAMA, ['{"name": "f", "parameters": {}}'], has_tools=False) == [
        Content('{"name": "f", "parameters": {}}')
    ]


def test_content_is_shown_as_soon_as_it_cannot_be_a_mark() -> None:
    parser = make_output_parser(QWEN)
    assert parser.feed("Hello <") == [Content("Hello")]
    assert parser.feed("b> <tool") == [Content(" <b>")]


def test_a_prompt_that_opens_thinking_is_recognized() -> None:
    assert opens_thinking("<|im_start|>assistant\n<think>\n")
    assert not opens_thinking("<think>\n\n</think>\n\n")

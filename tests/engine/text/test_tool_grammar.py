"""Grammars that hold an answer to tool calls, in every format that models write them in."""

from pathlib import Path

import pytest

from engine.text.grammar import GrammarMatcher, GrammarVocabulary, make_grammar_vocabulary
from engine.text.output_parser import make_output_parser
from engine.text.output_pieces import CallPart, Piece, Thinking, ToolCall
from engine.text.tool_grammar import make_tool_grammar
from engine.tokenizer import Tokenizer, load_gguf_tokenizer
from models.errors import Unsupported
from models.formats.gguf import read_gguf
from tests.engine.vocabularies import bpe_values, make_tokenizer

POCKET = Path(__file__).parents[3] / "models" / "pocket" / "pocket.gguf"
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now"}},
]
ARGUMENTS = '{"city": "Ulm", "days": 2}'
FORMATS = {
    "<tool_call>": [
        f'<tool_call>\n{{"name": "weather", "arguments": {ARGUMENTS}}}\n</tool_call>',
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n'
        f'<tool_call>\n{{"name": "weather", "arguments": {ARGUMENTS}}}\n</tool_call>',
    ],
    "<tool_call> <function=": [
        "<tool_call>\n<function=weather>\n<parameter=city>\nUlm\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n<parameter=unit>\nC\n</parameter>\n</function>\n"
        "</tool_call>",
        "<tool_call>\n<function=now>\n</function>\n</tool_call>",
    ],
    "<tool_call> <arg_key>": [
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Ulm</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
    ],
    '<|start_header_id|> "parameters"': [f'{{"name": "weather", "parameters": {ARGUMENTS}}}'],
    "[TOOL_CALLS]": [f'[TOOL_CALLS][{{"name": "weather", "arguments": {ARGUMENTS}}}]'],
    "[TOOL_CALLS] [ARGS]": [
        f"[TOOL_CALLS]weather[ARGS]{ARGUMENTS}",
        f"[TOOL_CALLS]now[ARGS]{{}}[TOOL_CALLS]weather[ARGS]{ARGUMENTS}",
    ],
    "<|channel|> <|message|>": [
        f"<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{ARGUMENTS}",
    ],
    "<｜tool▁calls▁begin｜> ```json": [  # noqa: RUF001
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"  # noqa: RUF001
        f"{ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",  # noqa: RUF001
    ],
    "<｜tool▁calls▁begin｜>": [  # noqa: RUF001
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>"  # noqa: RUF001
        f"{ARGUMENTS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",  # noqa: RUF001
    ],
    "<|tool_calls_section_begin|>": [
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0"
        f"<|tool_call_argument_begin|>{ARGUMENTS}<|tool_call_end|><|tool_calls_section_end|>",
    ],
    "<|START_ACTION|>": [
        f'<|START_ACTION|>[{{"name": "weather", "parameters": {ARGUMENTS}}}]<|END_ACTION|>',
    ],
    "<|tool_call|>": [
        f'<|tool_call|>[{{"name": "weather", "arguments": {ARGUMENTS}}}]<|/tool_call|>',
    ],
    "<minimax:tool_call>": [
        '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Ulm</parameter>\n'
        '<parameter name="days">2</parameter>\n</invoke>\n</minimax:tool_call>',
    ],
    "<seed:tool_call>": [
        "<seed:tool_call>\n<function=weather>\n<parameter=city>\nUlm\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</seed:tool_call>",
    ],
    "functools[": [f'functools[{{"name": "weather", "arguments": {ARGUMENTS}}}]'],
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_gguf_tokenizer(read_gguf(POCKET))


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Tokenizer) -> GrammarVocabulary:
    return make_grammar_vocabulary(tokenizer)


@pytest.fixture
def accepts(tokenizer: Tokenizer, vocabulary: GrammarVocabulary):
    """Whether a text is a whole answer under the grammar of a template."""

    def accepts(template: str, text: str, **options: bool) -> bool:
        grammar = make_tool_grammar(template, TOOLS, tokenizer, **options)
        matcher = GrammarMatcher(grammar, vocabulary)
        for token_id in tokenizer.encode(text, add_special=False):
            if matcher.is_finished or not matcher.allowed()[token_id]:
                return False
            matcher.accept(token_id)
        return matcher.is_finished or bool(matcher.allowed()[min(tokenizer.eos_token_ids)])

    return accepts


def read(template: str, text: str) -> list[Piece]:
    """What is whole of it."""
    parser = make_output_parser(template)
    pieces = parser.feed(text) + parser.finish()
    return [piece for piece in pieces if not isinstance(piece, CallPart)]


@pytest.mark.parametrize("template", FORMATS)
def test_what_a_grammar_allows_its_models_parser_reads_as_calls(accepts, template: str) -> None:
    for text in FORMATS[template]:
        assert accepts(template, text), text
        pieces = read(template, text)
        assert pieces
        assert all(isinstance(piece, ToolCall) for piece in pieces), pieces
        calls = {piece.name: piece.arguments for piece in pieces if isinstance(piece, ToolCall)}
        if "weather" in calls:
            assert {**calls["weather"], "unit": "C"} == {"city": "Ulm", "days": 2, "unit": "C"}


@pytest.mark.parametrize("template", FORMATS)
def test_other_text_other_tools_and_half_a_call_are_refused(accepts, template: str) -> None:
    text = FORMATS[template][0]
    assert not accepts(template, "Sure, here you are.")
    assert not accepts(template, text.replace("weather", "stocks"))
    assert not accepts(template, text[:-1])
    assert not accepts(template, text.replace("2", '"two"'))


def test_arguments_that_a_function_does_not_name_are_refused(accepts) -> None:
    call = '<tool_call>\n{"name": "now", "arguments": %s}\n</tool_call>'
    assert accepts("<tool_call>", call % "{}")
    assert not accepts("<tool_call>", call % '{"zone": "UTC"}')


def test_a_second_call_is_refused_where_one_is_wanted(accepts) -> None:
    two = FORMATS["<tool_call>"][1]
    assert accepts("<tool_call>", two)
    assert not accepts("<tool_call>", two, parallel=False)
    assert accepts("<tool_call>", FORMATS["<tool_call>"][0], parallel=False)


def test_a_thought_may_come_first_and_one_that_is_open_must_be_closed(accepts) -> None:
    template = "<think> </think> <tool_call>"
    call = FORMATS["<tool_call>"][0]
    thought = "<think>\nWhich city? <tool_call> fits.\n</think>\n\n"
    assert accepts(template, thought + call, thinks=True)
    assert accepts(template, call, thinks=True)
    assert not accepts(template, thought + call)
    rest = thought.removeprefix("<think>")
    assert accepts(template, rest + call, thinks=True, thinking_open=True)
    assert not accepts(template, call, thinks=True, thinking_open=True)
    pieces = read(template, thought + call)
    assert [type(piece) for piece in pieces] == [Thinking, ToolCall]


def test_a_harmony_thought_is_followed_by_a_call(accepts) -> None:
    template = "<|channel|> <|message|>"
    thought = "<|channel|>analysis<|message|>Ulm it is.<|end|><|start|>assistant"
    assert accepts(template, thought + FORMATS[template][0], thinks=True)


def test_references_inside_a_schema_are_followed(tokenizer, vocabulary) -> None:
    schema = {
        "$defs": {"Unit": {"enum": ["C", "F"]}},
        "type": "object",
        "properties": {"unit": {"$ref": "#/$defs/Unit"}},
        "required": ["unit"],
    }
    tools = [{"function": {"name": "f", "parameters": schema}}]
    matcher = GrammarMatcher(make_tool_grammar("<tool_call>", tools, tokenizer), vocabulary)
    head = '<tool_call>\n{"name": "f", "arguments": {"unit": "'
    for token_id in tokenizer.encode(head, add_special=False):
        matcher.accept(token_id)
    allowed = matcher.allowed()
    assert allowed[tokenizer.encode("C", add_special=False, continues=True)[0]]
    assert not allowed[tokenizer.encode("K", add_special=False, continues=True)[0]]


def test_a_format_that_cannot_be_held_is_refused_by_name(tokenizer: Tokenizer) -> None:
    with pytest.raises(Unsupported, match="tool_code"):
        make_tool_grammar("```tool_code", TOOLS, tokenizer)


def test_marks_that_are_control_tokens_stand_by_their_number() -> None:
    marks = ["<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "<|start|>", "<|end|>"]
    tokenizer = make_tokenizer(bpe_values(["t r"], special=marks))
    template = "<think> </think> [TOOL_CALLS] [ARGS]"
    grammar = make_tool_grammar(template, TOOLS, tokenizer, thinks=True)
    matcher = GrammarMatcher(grammar, make_grammar_vocabulary(tokenizer))
    text = f"<think>hm</think>[TOOL_CALLS]weather[ARGS]{ARGUMENTS}"
    for token_id in tokenizer.encode(text, add_special=False):
        assert matcher.allowed()[token_id]
        matcher.accept(token_id)
    assert matcher.allowed()[min(tokenizer.eos_token_ids)]
    spelled = GrammarMatcher(grammar, make_grammar_vocabulary(tokenizer))
    assert not spelled.allowed()[tokenizer.encode("[", add_special=False)[0]]

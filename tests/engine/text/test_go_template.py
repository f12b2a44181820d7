"""Templates in Ollama's language: each expected text was worked out by hand from Go's rules."""

import pytest

from engine.text.go_chat_template import GoChatTemplate
from engine.text.go_template import Struct, run_go_template
from models.errors import InvalidInput
from models.go_template import parse_go_template
from models.template import effective_template, is_go_template

DATA = {
    "Name": "Ada",
    "Empty": "",
    "List": ["a", "b", "c"],
    "Map": {"y": 2, "x": "<1>"},
    "Item": Struct({"Type": "t", "Sub": {"A": 5}}, {"type": "t", "n": [1, None]}),
}
EXPRESSIONS = {
    "{{ .Name }}": "Ada",
    "a {{- .Name -}} b": "aAdab",
    "a\n {{- /* a }} comment */ -}} \n b": "ab",
    "{{ .Nothing }}": "<no value>",
    "{{ if .Empty }}1{{ else if .Name }}2{{ else }}3{{ end }}": "2",
    "{{ with .Name }}{{ . }}!{{ else }}none{{ end }}": "Ada!",
    "{{ with .Empty }}{{ . }}!{{ else }}none {{ .Name }}{{ end }}": "none Ada",
    "{{ range .List }}{{ . }},{{ end }}": "a,b,c,",
    "{{ range $i, $e := .List }}{{ $i }}{{ $e }}{{ $.Name }} {{ end }}": "0aAda 1bAda 2cAda ",
    "{{ range $k, $v := .Map }}{{ $k }}={{ $v }} {{ end }}": "x=<1> y=2 ",
    "{{ range .Nothing }}{{ else }}none{{ end }}": "none",
    "{{ range .List }}{{ if eq . `b` }}{{ continue }}{{ end }}{{ . }}{{ end }}": "ac",
    "{{ range .List }}{{ if eq . `b` }}{{ break }}{{ end }}{{ . }}{{ end }}": "a",
    "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $y }}{{ end }}{{ $x }}": "32",
    "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}": "21",
    '{{ eq .Name "x" "Ada" }} {{ ne .Name "Ada" }} {{ lt 1 2 }}': "true false true",
    "{{ and .Name .Empty }}|{{ or .Empty .Name }}|{{ not .Empty }}": "|Ada|true",
    "{{ or .Empty .Name (index .List 9) | len }}": "3",
    "{{ len .List }} {{ index .List 1 }} {{ index .Map `y` }} {{ len (slice .List 1) }}": "3 b 2 2",
    "{{ slice .Name 1 2 }} {{ .List }} {{ .Map }}": 'd [a b c] {"x":"\\u003c1\\u003e","y":2}',
    "{{ .Item }} {{ json .Item.Sub }} {{ (index .List 0) }} {{ .Item.Sub.A }}": (
        '{"type":"t","n":[1,null]} {"A":5} a 5'
    ),
    '{{ printf "%s-%d%%-%q" .Name 3 "x" }}{{ print 1 "a" }}': 'Ada-3%-"x"1a',
    '{{ "}}" }}{{ "\\t\\"" }}{{ `\\t` }}{{ -1 }}{{ 1.5 }}{{ nil }}': '}}\t"\\t-11.5<no value>',
    "{{ .Name | printf `%s %s` `hi` | len }}": "6",
}
REFUSED = {
    "{{ shout .Name }}": "the function 'shout' is not supported",
    "x\n{{ template `t` }}": "line 2: {{ template }} is not supported",
    "{{ if .A }}": "{{ if }} without {{ end }}",
    "{{ end }}": "{{ end }} without a beginning",
    "{{ .A": "{{ without }}",
    "{{ .A .B }}": "only functions have arguments",
    "{{ eq (.A }}": "( without )",
    "{{ $a, $b := .A }}": "taken by {{ range }} alone",
    "{{ .A ! }}": "cannot be read",
}
FAILING = {
    "{{ index .List 3 }}": "out of range",
    "{{ slice .List 2 1 }}": "out of range",
    "{{ $x }}": "no variable $x",
    "{{ .Name.First }}": "has no field First",
    "{{ lt .Name 1 }}": "lt:",
    "{{ range 2000000 }}{{ range 2000000 }}{{ end }}{{ end }}": "does not end",
}
CHATML = (
    "{{- if or .System .Tools }}<|im_start|>system\n{{ .System }}\n"
    "{{- range .Tools }}\n{{ . }}\n{{- end }}<|im_end|>\n{{ end }}\n"
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 -}}\n"
    '{{- if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
    '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n'
    "{{ if .Content }}{{ .Content }}{{ else if .ToolCalls }}<tool_call>\n"
    '{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", '
    '"arguments": {{ .Function.Arguments }}}\n{{ end }}</tool_call>\n'
    "{{- end }}{{ if not $last }}<|im_end|>\n{{ end }}\n"
    '{{- else if eq .Role "tool" }}<|im_start|>user\n'
    "<tool_response>\n{{ .Content }}\n</tool_response><|im_end|>\n{{ end }}\n"
    '{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant\n{{ end }}\n'
    "{{- end }}"
)
TURNS = (
    "{{ if .System }}<|system|>{{ .System }}<|end|>{{ end }}"
    "{{ if .Prompt }}<|user|>{{ .Prompt }}<|end|>{{ end }}<|assistant|>{{ .Response }}<|end|>"
)
TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "one"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "three"},
]
TOOL = {
    "type": "function",
    "function": {
        "parameters": {
            "required": ["b"],
            "properties": {"b": {"description": "d", "type": "string"}, "a": {"type": ["integer"]}},
            "type": "object",
        },
        "name": "f",
    },
}


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_a_template_does_what_go_does(source: str) -> None:
    assert run_go_template(parse_go_template(source), DATA) == EXPRESSIONS[source]


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_not_known_is_refused_with_its_place(source: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_go_template(source)
    assert REFUSED[source] in caught.value.message


@pytest.mark.parametrize("source", FAILING)
def test_what_cannot_be_run_is_the_templates_error(source: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run_go_template(parse_go_template(source), DATA)
    assert FAILING[source] in caught.value.message


def test_messages_are_given_at_once_those_of_one_role_in_a_row_as_one() -> None:
    assert GoChatTemplate(CHATML).render(TALK) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\none\n\ntwo<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nthree<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tools_and_calls_are_shown_as_go_shows_them() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"b": "<x>", "a": 1}}}
    talk = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_name": "f"},
    ]
    assert GoChatTemplate(CHATML).render(talk, tools=[TOOL]) == (
        "<|im_start|>system\n\n"
        '{"type":"function","function":{"name":"f","parameters":{"type":"object",'
        '"required":["b"],"properties":{"a":{"type":"integer"},'
        '"b":{"type":"string","description":"d"}}}}}<|im_end|>\n'
        "<|im_start|>user\ngo<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "f", "arguments": '
        '{"a":1,"b":"\\u003cx\\u003e"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\ndone\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_template_of_turns_is_run_for_each_and_ends_before_the_answer() -> None:
    assert GoChatTemplate(TURNS).render(TALK) == (
        "<|system|>S<|end|><|user|>one\n\ntwo<|end|><|assistant|>A<|end|>"
        "<|user|>three<|end|><|assistant|>"
    )
    begun = [*TALK, {"role": "assistant", "content": "It is"}]
    assert GoChatTemplate(TURNS).render(begun).endswith("<|assistant|>It is")


def test_a_template_without_a_place_for_the_answer_has_it_at_its_end() -> None:
    assert GoChatTemplate("Q: {{ .Prompt }}\nA: ").render(TALK[1:]) == (
        "Q: one\n\ntwo\nA: AQ: three\nA: "
    )


def test_thinking_is_asked_for_and_found() -> None:
    template = GoChatTemplate(
        "{{ range .Messages }}{{ .Thinking }}{{ end }}"
        "{{ if and $.IsThinkSet (not $.Think) }}/no_think{{ end }}{{ .ThinkLevel }}"
    )
    assert template.supports_thinking
    assert not template.supports_tools
    talk = [{"role": "user", "content": "x"}]
    told = [template.render(talk, thinking=value) for value in (None, True, False, "low")]
    assert told == ["", "", "/no_think", "low"]


def test_the_models_own_template_stands_in_for_one_that_cannot_be_used() -> None:
    assert is_go_template("{{ shout .Prompt }}")
    assert effective_template("{{ shout .Prompt }}", "own") == "own"
    assert effective_template(TURNS, "own") == TURNS

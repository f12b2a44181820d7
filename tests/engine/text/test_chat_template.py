import json
import resource
from pathlib import Path
from typing import Any

import pytest

from engine.text import template_limits
from engine.text.chat_template import CHATML, ChatTemplate
from engine.text.template_loading import load_directory_template
from models.errors import InvalidInput, InvalidModelFile

CHAT = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"a": "<&'é"}}}]
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}],
}


def render(source: str, messages: list[dict[str, Any]] | None = None, **options: Any) -> str:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(
        CHAT if messages is None else messages, **options
    )


def test_a_template_sees_messages_tokens_and_the_prompt_switch() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}\n"
        "  {{ m.role + ': ' + m['content'] }}\n"
        "{% endfor %}\n"
        "{% if add_generation_prompt %}A:{% endif %}"
    )
    assert render(source) == "<s>  user: Hi\nA:"
    assert render(source, add_generation_prompt=False) == "<s>  user: Hi\n"


def test_tools_are_written_as_plain_json() -> None:
    text = render("{{ tools[0] | tojson }}", tools=TOOLS)
    assert text == json.dumps(TOOLS[0], ensure_ascii=False)
    assert render("{{ [1] | tojson(indent=2) }}") == "[\n  1\n]"
    assert render("{{ 'none' if not tools else 'some' }}") == "none"


@pytest.mark.parametrize(
    ("source", "thinking", "expected"),
    [
        ("{{ enable_thinking }}", True, "True"),
        ("{{ enable_thinking }}", False, "False"),
        ("{{ thinking }}", False, "False"),
        ("{{ enable_thinking is defined }}", None, "False"),
        ("{{ reasoning_effort }} {{ enable_thinking }}", "high", "high True"),
        ("{{ thinking_budget }}", False, "0"),
    ],
)
def test_the_thinking_switch_has_every_name(
    source: str, thinking: bool | str | None, expected: str
) -> None:
    assert render(source, thinking=thinking) == expected


def test_call_arguments_are_objects_and_as_text_where_a_template_wants_text() -> None:
    objects = "{{ messages[0].tool_calls[0].function.arguments.a }}"
    text = "{{ 'x' + messages[0].tool_calls[0].function.arguments }}"
    assert render(objects, [CALL]) == "1"
    assert render(text, [CALL]) == 'x{"a": 1}'


def test_a_system_turn_goes_into_the_first_user_turn_where_there_is_no_place_for_it() -> None:
    source = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ messages[0].content }}"
    )
    chat = [{"role": "system", "content": "Be brief."}, *CHAT]
    assert render(source, chat) == "Be brief.\n\nHi"


def test_parts_of_text_are_joined_and_thinking_has_every_name() -> None:
    chat = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]
    assert render("{{ messages[0].content }}", chat) == "a\nb"
    said = [{"role": "assistant", "content": "x", "thinking": "hm"}]
    assert render("{{ messages[0].reasoning_content }}", said) == "hm"


def test_loop_controls_and_generation_blocks_work() -> None:
    source = "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
    assert render(source) == "01"
    assert render("a{% generation %}b{{ 1 }}{% endgeneration %}c") == "ab1c"
    assert len(render("{{ strftime_now('%Y') }}")) == 4


def test_loops_keep_their_loop_variable_and_macros_their_arguments() -> None:
    source = (
        "{% macro m(x, y='d') %}<{{ x }}{{ y }}>{% endmacro %}"
        "{% for i in [1, 2, 3] %}{{ m(i) }}{{ loop.index }}{{ loop.last }}{{ loop.length }}"
        "{% endfor %}{% call(z) m2() %}{{ z }}{% endcall %}"
    )
    source = "{% macro m2() %}[{{ caller(7) }}]{% endmacro %}" + source
    assert render(source) == "<1d>1False3<2d>2False3<3d>3True3[7]"


def test_a_model_without_a_template_gets_chatml_and_says_so() -> None:
    template = ChatTemplate(None)
    assert template.is_fallback
    assert template.render(CHAT) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert not ChatTemplate(CHATML).is_fallback


def test_tools_and_thinking_are_found_in_the_source() -> None:
    assert ChatTemplate("{% if tools %}{% endif %}").supports_tools
    assert not ChatTemplate("no tools").supports_tools
    assert ChatTemplate("{{ enable_thinking }}").supports_thinking
    assert ChatTemplate("x<think>").supports_thinking
    assert not ChatTemplate(CHATML).supports_thinking


def test_the_template_for_tools_is_used_when_there_are_tools() -> None:
    template = ChatTemplate("plain", tool_source="{{ tools | length }} tools")
    assert template.render(CHAT) == "plain"
    assert template.render(CHAT, tools=TOOLS) == "1 tools"


def test_a_refusal_is_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidModelFile, match="cannot be parsed"):
        render("{% if %}")


def test_a_template_may_add_to_its_own_lists_alone() -> None:
    own = "{% set l = [] %}{% for m in messages %}{% set _ = l.append(m.content) %}{% endfor %}"
    assert render(own + "{{ l }}") == "['Hi']"
    given = [{"role": "user", "content": "Hi", "parts": [1]}]
    with pytest.raises(InvalidInput):
        render("{{ messages[0].parts.append(2) }}", given)
    assert given[0]["parts"] == [1]
    with pytest.raises(InvalidInput, match="runs away"):
        render("{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}{{ l }}")
    flood = "{% set l = [] %}{% for i in range(99999) %}{% for j in range(9) %}"
    flood += "{% set _ = l.append('x' * 99) %}{% endfor %}{% endfor %}"
    with pytest.raises(InvalidInput, match="runs away"):
        render(flood)


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ ''['__class__'] }}",
    "{{ (''|attr('__class__')).__mro__ }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'a': 1}) }}",
    "{% set ns = namespace(__class__=1) %}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as x %}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_cannot_reach_out_of_the_sandbox(source: str) -> None:
    before = json.dumps(CHAT)
    try:
        text = render(source)
    except InvalidInput:
        text = ""
    assert text in ("", "<class 'str'>") or "class" not in text
    assert "root:" not in text
    assert json.dumps(CHAT) == before


DOUBLING = "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}"
RUNAWAYS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "silent loops": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}"
    "{% endfor %}",
    "macros": "{% macro m(n) %}{{ m(n - 1) }}{{ m(n - 1) }}{% endmacro %}{{ m(99) }}",
    "recursive loop": "{% set ns = namespace(x=[[], []]) %}{% for i in range(30) %}"
    "{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
    "{% for i in ns.x recursive %}{{ loop(i) }}{% endfor %}",
    "times": "{{ 'x' * 10**10 }}",
    "list times": "{{ [0] * 10**9 }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "squares": "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}"
    "{% endfor %}",
    "plus": DOUBLING + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "concatenation": DOUBLING + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "capture": "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}"
    "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
    "join": DOUBLING + "{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "join method": DOUBLING + "{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}{% endfor %}",
    "replace": DOUBLING + "{% set ns.x = ns.x | replace('x', ns.x) %}{% endfor %}",
    "replace method": DOUBLING + "{% set ns.x = ns.x.replace('x', ns.x) %}{% endfor %}",
    "format": DOUBLING + "{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "percent": DOUBLING + "{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "format filter": DOUBLING + "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}{% endfor %}",
    "wide percent": "{{ '%999999999d' % 1 }}",
    "wide star": "{{ '%*d' % (999999999, 1) }}",
    "wide format": "{{ '{:999999999}'.format(1) }}",
    "nested width": "{{ '{:{}}'.format(1, 999999999) }}",
    "center": "{{ 'x' | center(999999999) }}",
    "ljust": "{{ 'x'.ljust(999999999) }}",
    "zfill": "{{ 'x'.zfill(999999999) }}",
    "expandtabs": "{{ ('\\t' * 9999).expandtabs(99999) }}",
    "indent": "{{ ('\\n' * 99999) | indent(99999) }}",
    "json indent": "{{ [[[[1]]]] | tojson(indent=999999999) }}",
    "list tree": DOUBLING + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "tuple tree": DOUBLING + "{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ ns.x == ns.x }}",
    "object tree": DOUBLING + "{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}"
    "{{ ns.x | tojson }}",
    "dict call": DOUBLING + "{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}",
    "list plus": "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}"
    "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "fixed text": "{% for a in range(99999) %}" + "y" * 9999 + "{% endfor %}",
    "slices": "{{ [1] | slice(999999999) | list }}",
    "batch": "{{ [1] | batch(999999999, 0) | list }}",
    "lipsum": "{{ lipsum(n=99999, max=99999) }}",
    "shadowed checks": "{% macro charge_step(n) %}{% endmacro %}{% set checked = 1 %}"
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "wordwrap": "{{ ('x' * 9999999) | wordwrap(1, wrapstring='y' * 9999999) }}",
    "deep nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "constant width": "{% for a in range(99999) %}{{ 'x' | center(99999) }}{% endfor %}",
    "urlize": "{{ ('http://a.b ' * 999999) | urlize(target='y' * 999999) }}",
    "random sort": "{% for a in range(99999) %}{{ range(99999) | sort | list | length }}"
    "{% endfor %}",
}


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_runaway_template_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.3)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((InvalidInput, InvalidModelFile)):
        render(RUNAWAYS[name])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 500_000


def test_a_long_conversation_is_no_runaway() -> None:
    chat = [{"role": "user", "content": "word " * 2000}, {"role": "assistant", "content": "x"}]
    assert len(ChatTemplate(None).render(chat * 1000)) > 10_000_000


def test_a_directory_has_one_template_or_several(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": "one", "bos_token": {"content": "<s>"}}))
    assert load_directory_template(tmp_path).render(CHAT) == "one"
    named = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
    path.write_text(json.dumps({"chat_template": named, "bos_token": "<s>"}))
    template = load_directory_template(tmp_path)
    assert (template.render(CHAT), template.render(CHAT, tools=TOOLS)) == ("d", "t")
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}alone")
    assert load_directory_template(tmp_path).render(CHAT) == "<s>alone"
    assert load_directory_template(tmp_path, "own").render(CHAT) == "own"
    assert load_directory_template(tmp_path, "{{ .Prompt }}!").render(CHAT).endswith("!")
    assert load_directory_template(tmp_path, "{{ unknown .Prompt }}").render(CHAT) == "<s>alone"

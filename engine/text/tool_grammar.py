"""Holds an answer to tool calls: a grammar in the format that a model's own template teaches."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.request import Grammar
from engine.text.output_parser import call_formats, thinking_tags
from engine.tokenizer import Tokenizer
from models.errors import Unsupported

MAX_CALLS = 16
"""A model that would call for ever stops here."""

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Style:
    """Text around a call: `{}` stands for the function's name; marks are cut out of it by ⟦ and ⟧.

    The whole is `opening`, then `before`, arguments and `after` for each call with `between` in
    the middle, then `closing`. `arguments` writes the rules of one function's arguments.
    """

    before: str
    after: str = ""
    opening: str = ""
    closing: str = ""
    between: str = ""
    arguments: "Callable[[_Rules, Mapping[str, Any]], str] | None" = None
    many: bool = True


def make_tool_grammar(
    template_source: str,
    tools: Tools,
    tokenizer: Tokenizer,
    *,
    thinks: bool = False,
    thinking_open: bool = False,
    parallel: bool = True,
) -> Grammar:
    """One or more calls of `tools` and nothing else, after a thought where the model `thinks`.

    Raises:
        Unsupported: the model writes calls in a way that no grammar here describes.
    """
    is_harmony = "<|channel|>" in template_source and "<|message|>" in template_source
    style = _HARMONY if is_harmony else _find_style(template_source)
    rules = _Rules(tokenizer)
    calls = _calls(rules, style, tools, parallel=parallel and style.many)
    thought = _thought(rules, template_source, is_open=thinking_open) if thinks else ""
    rules.add("start", f"{thought} {calls}")
    return Grammar("lark", rules.text)


class _Rules:
    """Lark rules as llguidance reads them; marks that are control tokens stand by their number."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._rules: list[str] = []

    @property
    def text(self) -> str:
        """The whole grammar."""
        return "\n".join(self._rules)

    def add(self, name: str, body: str, attributes: str = "") -> str:
        """Define a rule; its name."""
        self._rules.append(f"{name}{attributes}: {body}")
        return name

    def fresh(self, body: str, attributes: str = "") -> str:
        """Define a rule under a name of its own."""
        return self.add(f"r{len(self._rules)}", body, attributes)

    def mark(self, text: str) -> str:
        """What matches a mark: its token, or its letters where it has none."""
        token_id = self._tokenizer.token_id(text)
        if token_id is not None and self._tokenizer.is_special(token_id):
            return f"<[{token_id}]>"
        return json.dumps(text, ensure_ascii=False)

    def literal(self, text: str) -> str:
        """Fixed text with marks in it, between ⟦ and ⟧."""
        terms = []
        for index, piece in enumerate(text.replace("⟧", "⟦").split("⟦")):
            if piece:
                terms.append(self.mark(piece) if index % 2 else _quoted(piece))
        return " ".join(terms)

    def schema(self, schema: Mapping[str, Any]) -> str:
        """JSON that follows a schema."""
        return self.fresh(f"%json {json.dumps(schema)}")

    def text_until(self, end: str) -> str:
        """Any text up to `end`, a mark or letters, and that."""
        closing = self.mark(end)
        if closing.startswith("<["):
            return self.fresh(f"/(.|\\n)*/ {closing}")
        return self.fresh("/(.|\\n)*/", f"[suffix={closing}]")


def _calls(rules: _Rules, style: _Style, tools: Tools, *, parallel: bool) -> str:
    write_arguments = style.arguments or _json_arguments
    choices = []
    for tool in tools:
        function = tool.get("function") or {}
        arguments = write_arguments(rules, _parameters(function))
        before = rules.literal(style.before.replace("{}", function["name"]))
        choices.append(f"{before} {arguments} {rules.literal(style.after)}")
    call = rules.fresh(" | ".join(choices))
    more = f"({rules.literal(style.between)} {call}){{0,{MAX_CALLS - 1}}}" if parallel else ""
    return f"{rules.literal(style.opening)} {call} {more} {rules.literal(style.closing)}"


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a function's arguments; those that it does not name do not exist for it."""
    schema = function.get("parameters") or {"properties": {}}
    others = {"additionalProperties": False} if "properties" in schema else {}
    return {"type": "object", **others, **schema}


def _json_arguments(rules: _Rules, schema: Mapping[str, Any]) -> str:
    return rules.schema(schema)


def _each_parameter(rules: _Rules, schema: Mapping[str, Any], write: Callable[..., str]) -> str:
    """The required parameters in order, with the others where they stand among them."""
    required = frozenset(schema.get("required") or ())
    terms = []
    for name, each in (schema.get("properties") or {}).items():
        defs = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        rule = rules.fresh(write(rules, name, {**defs, **each}))
        terms.append(rule if name in required else f"{rule}?")
    return " ".join(terms)


def _value_until(rules: _Rules, schema: Mapping[str, Any], end: str) -> str:
    """A parameter's value between tags: text as it is, anything else as JSON."""
    kinds = schema.get("type")
    choices = schema.get("enum")
    closing = rules.literal(f"⟦{end}⟧")
    if choices is not None:
        texts = [each if isinstance(each, str) else json.dumps(each) for each in choices]
        return f"({' | '.join(map(_quoted, texts))}) {closing}"
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return rules.text_until(end)
    return f"{rules.schema(schema)} {closing}"


def _function_parameters(rules: _Rules, schema: Mapping[str, Any]) -> str:
    def write(rules: _Rules, name: str, each: Mapping[str, Any]) -> str:
        value = _value_until(rules, each, "\n</parameter>\n")
        return f"{_quoted(f'<parameter={name}>')} {_quoted(chr(10))} {value}"

    return _each_parameter(rules, schema, write)


def _invoke_parameters(rules: _Rules, schema: Mapping[str, Any]) -> str:
    def write(rules: _Rules, name: str, each: Mapping[str, Any]) -> str:
        tag = _quoted(f'<parameter name="{name}">')
        return f"{tag} {_value_until(rules, each, '</parameter>' + chr(10))}"

    return _each_parameter(rules, schema, write)


def _glm_parameters(rules: _Rules, schema: Mapping[str, Any]) -> str:
    def write(rules: _Rules, name: str, each: Mapping[str, Any]) -> str:
        key = rules.literal(f"\n⟦<arg_key>⟧{name}⟦</arg_key>⟧\n⟦<arg_value>⟧")
        return f"{key} {_value_until(rules, each, '</arg_value>')}"

    return _each_parameter(rules, schema, write)


def _thought(rules: _Rules, template_source: str, *, is_open: bool) -> str:
    """What may come before the calls; a thought that the prompt has opened must be closed."""
    if "<|channel|>" in template_source and "<|message|>" in template_source:
        head = rules.literal("⟦<|channel|>⟧analysis⟦<|message|>⟧")
        tail = rules.literal("⟦<|start|>⟧assistant")
        return f"({head} {rules.text_until('<|end|>')} {tail})?"
    tags = thinking_tags(template_source)
    if tags is None:
        return ""
    thought = f"{rules.text_until(tags[1])} /\\s{{0,4}}/"
    return thought if is_open else f"({rules.mark(tags[0].rstrip())} {thought})?"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _find_style(template_source: str) -> _Style:
    if "<|start_header_id|>" in template_source and '"parameters"' in template_source:
        return _Style('{"name": "{}", "parameters": ', "}", many=False)
    start = call_formats(template_source)[0].start
    for wanted, sign, style in _STYLES:
        if start == wanted and sign in template_source:
            return style
    raise Unsupported(
        f"this model's tool calls ({start}) cannot be required",
        hint='use tool_choice "auto", or another model',
    )


def _json_list(start: str, end: str, arguments_key: str = "arguments") -> _Style:
    opening, closing = f"⟦{start}⟧[", f"]⟦{end}⟧" if end else "]"
    before = f'{{"name": "{{}}", "{arguments_key}": '
    return _Style(before, "}", opening, closing, between=", ")


_HARMONY = _Style(
    "⟦<|channel|>⟧commentary to=functions.{} ⟦<|constrain|>⟧json⟦<|message|>⟧", many=False
)
_DEEPSEEK_BEGIN, _DEEPSEEK_SEP = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"  # noqa: RUF001
_DEEPSEEK_END = "⟦<｜tool▁call▁end｜>⟧"  # noqa: RUF001
_DEEPSEEK_CALLS = ("⟦<｜tool▁calls▁begin｜>⟧", "⟦<｜tool▁calls▁end｜>⟧")  # noqa: RUF001
_STYLES: tuple[tuple[str, str, _Style], ...] = (
    (
        "<tool_call>",
        "<function=",
        _Style(
            "⟦<tool_call>⟧\n<function={}>\n",
            "</function>\n⟦</tool_call>⟧",
            between="\n",
            arguments=_function_parameters,
        ),
    ),
    (
        "<tool_call>",
        "<arg_key>",
        _Style("⟦<tool_call>⟧{}", "\n⟦</tool_call>⟧", between="\n", arguments=_glm_parameters),
    ),
    (
        "<tool_call>",
        "",
        _Style('⟦<tool_call>⟧\n{"name": "{}", "arguments": ', "}\n⟦</tool_call>⟧", between="\n"),
    ),
    ("<|tool_call|>", "", _json_list("<|tool_call|>", "<|/tool_call|>")),
    ("<tool_calls>", "", _json_list("<tool_calls>", "</tool_calls>")),
    ("<TOOLCALL>", "", _json_list("<TOOLCALL>", "</TOOLCALL>")),
    ("<|START_ACTION|>", "", _json_list("<|START_ACTION|>", "<|END_ACTION|>", "parameters")),
    ("<|tool_call_start|>", "", _json_list("<|tool_call_start|>", "<|tool_call_end|>")),
    (
        "<seed:tool_call>",
        "",
        _Style(
            "⟦<seed:tool_call>⟧\n<function={}>\n",
            "</function>\n⟦</seed:tool_call>⟧",
            between="\n",
            arguments=_function_parameters,
        ),
    ),
    (
        "<minimax:tool_call>",
        "",
        _Style(
            '<invoke name="{}">\n',
            "</invoke>\n",
            "⟦<minimax:tool_call>⟧\n",
            "⟦</minimax:tool_call>⟧",
            arguments=_invoke_parameters,
        ),
    ),
    (
        "<｜tool▁calls▁begin｜>",  # noqa: RUF001
        "```json",
        _Style(
            f"⟦{_DEEPSEEK_BEGIN}⟧function⟦{_DEEPSEEK_SEP}⟧{{}}\n```json\n",
            f"\n```{_DEEPSEEK_END}",
            *_DEEPSEEK_CALLS,
            between="\n",
        ),
    ),
    (
        "<｜tool▁calls▁begin｜>",  # noqa: RUF001
        "",
        _Style(f"⟦{_DEEPSEEK_BEGIN}⟧{{}}⟦{_DEEPSEEK_SEP}⟧", _DEEPSEEK_END, *_DEEPSEEK_CALLS),
    ),
    (
        "<|tool_calls_section_begin|>",
        "",
        _Style(
            "⟦<|tool_call_begin|>⟧functions.{}:0⟦<|tool_call_argument_begin|>⟧",
            "⟦<|tool_call_end|>⟧",
            "⟦<|tool_calls_section_begin|>⟧",
            "⟦<|tool_calls_section_end|>⟧",
        ),
    ),
    ("[TOOL_CALLS]", "[ARGS]", _Style("⟦[TOOL_CALLS]⟧{}⟦[ARGS]⟧")),
    ("[TOOL_CALLS]", "", _json_list("[TOOL_CALLS]", "")),
    ("<|python_tag|>", "", _Style('{"name": "{}", "parameters": ', "}", many=False)),
    ("functools[", "", _json_list("functools", "")),
)
"""Mark that a format's calls begin with, a sign in the template that tells variants apart."""

"""Runs chat templates, which are code from strangers: no access to anything but their input, and a
bound on time, steps and the size of every value they make.

Steps are counted where a template can repeat itself (loop and macro bodies); sizes are checked
where a value can grow in one operation (operators, calls, filters, literals, output).
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_STEPS = 300_000
MAX_SECONDS = 3.0
MAX_TEXT_CHARS = 32_000_000
MAX_ITEMS = 200_000
MAX_DEPTH = 64
MAX_ARGUMENT = 100_000
MAX_INDENT = 16
_MAX_INTEGER_BITS = 4096
_NEEDLESS_FILTERS = ("pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr")
"""For web pages; what they cost is hard to bound."""
_WIDE_FORMAT = re.compile(r"%[^a-zA-Z%]*(?:\d{4,}|\*)|\{[^{}]*(?:\d{5,}|\{)")


class TemplateRunsAway(SecurityError):
    """The template asked for more time, text or memory than any conversation needs."""


@dataclass
class Budget:
    """What one rendering may still use."""

    steps: int = MAX_STEPS
    chars: int = MAX_TEXT_CHARS
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def charge(self, num_chars: int) -> str:
        """One step that writes `num_chars` characters. Raises TemplateRunsAway."""
        self.steps -= 1
        self.chars -= num_chars
        if self.steps < 0 or self.chars < 0 or time.monotonic() > self.deadline:
            raise TemplateRunsAway("the template takes too much time or writes too much text")
        return ""


_budget: ContextVar[Budget] = ContextVar("template_budget")


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """The template's text. Raises TemplateError and whatever the template's operations raise."""
    token = _budget.set(Budget())
    try:
        return template.render(variables)
    finally:
        _budget.reset(token)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates expect it, with every way to run away closed."""

    intercepted_binops = frozenset({"+", "*", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationBlocks, loopcontrols],
            finalize=_finalize,
        )
        for unneeded in _NEEDLESS_FILTERS:
            del self.filters[unneeded]
        del self.globals["lipsum"]
        self.filters = {name: _bounded_filter(name, made) for name, made in self.filters.items()}
        self.filters["tojson"] = _bounded_filter("tojson", _tojson)
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=lambda form: datetime.now().strftime(form),
            namespace=_Namespace,
        )

    @staticmethod
    def charge_step(num_chars: int) -> str:
        """One step of the rendering that is going on; writes nothing."""
        return _budget.get().charge(num_chars)

    @staticmethod
    def checked_concat(*parts: Any) -> str:
        """The operator `~`."""
        return str(_check("".join(str(_check(part)) for part in parts)))

    @staticmethod
    def checked(value: Any) -> Any:
        """A literal list, tuple or object that is not too large."""
        return _check(value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        checked = _InsertChecks().visit(tree)
        assert isinstance(checked, nodes.Template)
        return checked

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` as the sandbox has it, refused where its result would be too long."""
        formatter = super().wrap_str_format(value)
        if formatter is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            _check_format(value.__self__, [*args, *kwargs.values()])
            return formatter(*args, **kwargs)

        return bounded

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """One arithmetic operation, refused when its result would be too large."""
        _check_operation(operator, left, right)
        return _check(super().call_binop(context, operator, left, right))

    def call(self, __context: Any, __obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """One call from the template, with its arguments and its result checked."""
        if __obj in _OWN_CHECKS:
            return __obj(*args)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            _check_text_method(__obj.__name__, owner, args, kwargs)
        else:
            _check_arguments(args, kwargs)
        return _check(super().call(__context, __obj, *args, **kwargs))


_OWN_CHECKS = (ChatEnvironment.charge_step, ChatEnvironment.checked_concat, ChatEnvironment.checked)


class GenerationBlocks(Extension):
    """`{% generation %}`: marks what the assistant wrote for training; here, just its content."""

    tags = {"generation"}  # noqa: RUF012 - the base class declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _InsertChecks(NodeTransformer):
    """Puts a charge at the start of every body that can repeat and a check around literals."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        node.body.insert(0, _charge(node.body))
        return self.generic_visit(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        node.body.insert(0, _charge(node.body))
        return self.generic_visit(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        node.body.insert(0, _charge(node.body))
        return self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("checked_concat", node.nodes)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _call("checked", [node])

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _call("checked", [node])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        if node.ctx != "load":
            return node
        return _call("checked", [node])


def _call(name: str, arguments: list[Any]) -> nodes.Call:
    """A call of the environment's own method, which no template can put another in place of."""
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


def _charge(body: list[nodes.Node]) -> nodes.Node:
    """A statement that charges one step and the fixed text of `body`."""
    num_chars = sum(
        len(data.data) for part in body for data in part.find_all(nodes.TemplateData)
    ) + sum(len(part.data) for part in body if isinstance(part, nodes.TemplateData))
    return nodes.Output([_call("charge_step", [nodes.Const(num_chars)])])


class _Namespace(Namespace):
    """`namespace()` without names that could reach into Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *given = args
        attributes = dict(*given, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, _check(value))


def _check_name(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace cannot have the attribute {name!r}")


@pass_context
def _finalize(_context: Any, value: Any) -> Any:
    """Called for every expression the template writes; never at compile time."""
    _budget.get().charge(len(value) if isinstance(value, str) else 0)
    return value if isinstance(value, str) else _check(value)


def _check(value: Any) -> Any:
    """`value`, unless it is too large to be worked with."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARS:
            raise TemplateRunsAway("the template makes a text that is too long")
    elif isinstance(value, list | tuple | dict | set | frozenset):
        _count_items(value, MAX_DEPTH, MAX_ITEMS)
    elif isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
        raise TemplateRunsAway("the template makes a number that is too large")
    return value


def _count_items(value: Any, depth: int, left: int) -> int:
    """Items left of `left` after counting those in `value`, shared ones as often as they appear."""
    if isinstance(value, Mapping):
        left -= len(value)
        children: Any = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        left -= len(value)
        children = value
    else:
        return left - (len(value) // 100 if isinstance(value, str) else 0)
    for child in children:
        if left < 0 or depth == 0:
            raise TemplateRunsAway("the template makes a list or object that is too large")
        left = _count_items(child, depth - 1, left)
    if left < 0:
        raise TemplateRunsAway("the template makes a list or object that is too large")
    return left


def _check_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str | list | tuple) and isinstance(times, int):
                limit = MAX_TEXT_CHARS if isinstance(many, str) else MAX_ITEMS
                _require(len(many) * times <= limit)
    elif operator == "**":
        _require(not isinstance(right, int) or abs(right) <= 64)
        _require(not isinstance(left, int) or left.bit_length() <= 64)
    elif operator == "%" and isinstance(left, str):
        _check_format(left, right)


def _check_format(form: str, values: Any) -> None:
    _require(_WIDE_FORMAT.search(form) is None)
    num_places = form.count("%") + form.count("{")
    _require(len(form) + num_places * _text_size(values) <= MAX_TEXT_CHARS)


def _text_size(value: Any) -> int:
    """A bound on the length of `str(value)`."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_text_size(key) + _text_size(item) + 8 for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return sum(_text_size(item) + 8 for item in value)
    return 2048


def _check_text_method(name: str, text: str, args: Any, kwargs: Any) -> None:
    if name == "replace" and len(args) > 1 and isinstance(args[0], str):
        _require(len(text) + text.count(args[0]) * len(str(args[1])) <= MAX_TEXT_CHARS)
    elif name == "join" and args:
        items = args[0] if isinstance(args[0], list | tuple) else []
        _require(len(text) * len(items) + _text_size(items) <= MAX_TEXT_CHARS)
    elif name == "expandtabs":
        _require(len(text) * (args[0] if args else 8) <= MAX_TEXT_CHARS)
    _check_arguments(args, kwargs)


def _check_arguments(args: Any, kwargs: Any) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, int):
            _require(abs(value) <= MAX_ARGUMENT)
        else:
            _check(value)


def _bounded_filter(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with its numbers, its growth and its result checked."""

    @wraps(made)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        texts = [value for value in args if isinstance(value, str)]
        _check_arguments([value for value in args if _is_plain(value)], kwargs)
        if name == "replace" and len(texts) > 2:
            _require(len(texts[0]) + texts[0].count(texts[1]) * len(texts[2]) <= MAX_TEXT_CHARS)
        elif name == "format" and texts:
            _check_format(texts[0], [*texts[1:], *kwargs.values()])
        elif name == "indent" and texts:
            _require(texts[0].count("\n") * _indent_width(args, kwargs) <= MAX_TEXT_CHARS)
        elif name == "join":
            _check_join(args, kwargs, texts)
        return _check(made(*args, **kwargs))

    return bounded


def _check_join(args: Any, kwargs: Any, texts: list[str]) -> None:
    separator = len(texts[-1]) if texts else len(str(kwargs.get("d", "")))
    for value in args:
        if isinstance(value, list | tuple):
            _require(separator * len(value) + _text_size(value) <= MAX_TEXT_CHARS)
        elif isinstance(value, str):
            _require(separator * len(value) <= MAX_TEXT_CHARS)


def _indent_width(args: Any, kwargs: Any) -> int:
    widths = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, int | str)]
    return max((len(value) if isinstance(value, str) else value for value in widths), default=4)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | list | tuple | Mapping)


def _require(holds: bool) -> None:
    if not holds:
        raise TemplateRunsAway("the template asks for something too large")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """As the templates' authors know it from transformers: nothing escaped for HTML."""
    _require(
        not isinstance(indent, int | str) or (isinstance(indent, int) and indent <= MAX_INDENT)
    )
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)

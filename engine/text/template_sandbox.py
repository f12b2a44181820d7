"""Runs chat templates, which are code from strangers: no access to anything but their input, which
they cannot change, and a bound on everything they use (`engine.text.template_limits`).
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from engine.text.template_limits import (
    MAX_INDENT,
    MAX_ITEMS,
    Budget,
    bounded_filter,
    budget,
    check_arguments,
    check_format,
    check_operation,
    check_text_method,
    check_value,
    require,
)

_NEEDLESS_FILTERS = ("pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr")
"""For web pages; what they cost is hard to bound."""


_OWN_LIST_METHODS = ("append", "insert", "pop")


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """The template's text. Raises TemplateError and whatever the template's operations raise."""
    token = budget.set(Budget())
    try:
        return template.render(_as_given(dict(variables)))
    finally:
        budget.reset(token)


class _GivenList(list[Any]):
    """A list of the conversation, which no template may change; its own ones it may add to."""


def _as_given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_given(item) for key, item in value.items()}
    return _GivenList(map(_as_given, value)) if isinstance(value, list) else value


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
        self.filters = {name: bounded_filter(name, made) for name, made in self.filters.items()}
        self.filters["tojson"] = bounded_filter("tojson", _tojson)
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=lambda form: datetime.now().strftime(form),
            namespace=_Namespace,
        )

    @staticmethod
    def charge_step(num_chars: int) -> str:
        """One step of the rendering that is going on; writes nothing."""
        return budget.get().charge(num_chars)

    @staticmethod
    def checked_concat(*parts: Any) -> str:
        """The operator `~`."""
        return str(check_value("".join(str(check_value(part)) for part in parts)))

    @staticmethod
    def checked(value: Any) -> Any:
        """A literal list, tuple or object that is not too large."""
        return check_value(value)

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
            check_format(value.__self__, [*args, *kwargs.values()])
            return formatter(*args, **kwargs)

        return bounded

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As in the sandbox, and the queue that Kimi K2 makes of a list of its own."""
        if attr in _OWN_LIST_METHODS and type(obj) is list:
            return True
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """One arithmetic operation, refused when its result would be too large."""
        check_operation(operator, left, right)
        return check_value(super().call_binop(context, operator, left, right))

    def call(self, __context: Any, __obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """One call from the template, with its arguments and its result checked."""
        if __obj in _OWN_CHECKS:
            return __obj(*args)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            check_text_method(__obj.__name__, owner, args, kwargs)
        elif type(owner) is list:
            budget.get().charge(0)
            require(len(owner) < MAX_ITEMS)
            check_value([*args])
        else:
            check_arguments(args, kwargs)
        return check_value(super().call(__context, __obj, *args, **kwargs))


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
        super().__setitem__(name, check_value(value))


def _check_name(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace cannot have the attribute {name!r}")


@pass_context
def _finalize(_context: Any, value: Any) -> Any:
    """Called for every expression the template writes; never at compile time."""
    budget.get().charge(len(value) if isinstance(value, str) else 0)
    return value if isinstance(value, str) else check_value(value)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """As the templates' authors know it from transformers: nothing escaped for HTML."""
    require(not isinstance(indent, int | str) or (isinstance(indent, int) and indent <= MAX_INDENT))
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)

"""What a template in Go's language consists of."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: str | int | float | bool | None


@dataclass(frozen=True)
class Field:
    """`.A.B`: of the dot; no path is the dot itself."""

    path: tuple[str, ...]


@dataclass(frozen=True)
class Variable:
    """`$name.A.B`; `$` alone is what the whole template is given."""

    name: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A function and its arguments."""

    function: str
    arguments: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Inner:
    """`(pipeline).A.B`."""

    expression: "Expression"
    path: tuple[str, ...]


Expression = Literal | Field | Variable | Call | Inner


@dataclass(frozen=True)
class Pipeline:
    """An expression, and the variables that take its value."""

    expression: Expression
    names: tuple[str, ...] = ()
    declares: bool = True
    """`:=` rather than `=`."""


@dataclass(frozen=True)
class Text:
    """Shown as it is."""

    text: str


@dataclass(frozen=True)
class Action:
    """Shows the value of a pipeline, unless a variable takes it."""

    pipeline: Pipeline


@dataclass(frozen=True)
class Branch:
    """`if`, `with` or `range`, with what stands in it and behind `else`."""

    kind: str
    pipeline: Pipeline
    body: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...]" = ()


@dataclass(frozen=True)
class Jump:
    """`break` or `continue`."""

    kind: str


Node = Text | Action | Branch | Jump


def identifiers(nodes: tuple[Node, ...]) -> frozenset[str]:
    """All names of fields and variables, in lower case."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Action | Branch):
            found.update(_names(node.pipeline.expression))
        if isinstance(node, Branch):
            found |= identifiers(node.body) | identifiers(node.otherwise)
    return frozenset(name.lower() for name in found)


def _names(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Field | Variable | Inner):
        yield from expression.path
    if isinstance(expression, Inner):
        yield from _names(expression.expression)
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _names(argument)

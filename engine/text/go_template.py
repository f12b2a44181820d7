"""Runs a template in Go's language, as Go's package text/template does. Knows no conversations."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from models.errors import InvalidInput
from models.go_template_nodes import (
    Action,
    Branch,
    Call,
    Expression,
    Field,
    Inner,
    Jump,
    Literal,
    Node,
    Text,
    Variable,
)

MAX_STEPS = 2_000_000
"""Nodes and expressions of one run; a template that wants more has no end that is near."""
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class Struct:
    """A value with fields by Go's names, which is shown as JSON."""

    fields: Mapping[str, Any]
    json: Any


def run_go_template(nodes: Sequence[Node], data: Mapping[str, Any]) -> str:
    """The text that a template makes of `data`.

    Raises:
        InvalidInput: it asks for what is not there, or does not end.
    """
    run = _Run(data)
    run.walk(nodes, data)
    return "".join(run.written)


def to_json(value: Any) -> str:
    """As Go's json.Marshal writes it: no spaces, keys of maps sorted, no character of HTML."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: _HTML[found[0]], text)


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return _plain_in_order(value.json)
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _plain_in_order(value: Any) -> Any:
    """The same for a struct's own fields, which stand in the order of their type."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return _plain(value)


def show(value: Any) -> str:
    """As a template prints a value."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Struct | Mapping) or _is_structs(value):
        return to_json(value)
    if isinstance(value, list):
        return f"[{' '.join(map(show, value))}]"
    return str(value)


def _is_structs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Struct)


class _Run:
    """One run: what is written so far, and the variables, the latest last."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.written: list[str] = []
        self._variables: list[tuple[str, Any]] = [("$", data)]
        self._num_steps = 0
        self._functions = _functions()

    def walk(self, nodes: Sequence[Node], dot: Any) -> str:
        """Write nodes; "break" or "continue" where one of these ended them, else nothing."""
        for node in nodes:
            self._count()
            if isinstance(node, Text):
                self.written.append(node.text)
            elif isinstance(node, Jump):
                return node.kind
            elif isinstance(node, Action):
                value = self._value(node.pipeline.expression, dot)
                if node.pipeline.names:
                    self._take(node.pipeline.names[0], value, declares=node.pipeline.declares)
                else:
                    self.written.append(show(value))
            elif jump := self._branch(node, dot):
                return jump
        return ""

    def _branch(self, node: Branch, dot: Any) -> str:
        mark = len(self._variables)
        value = self._value(node.pipeline.expression, dot)
        if node.kind == "range":
            jump = self._range(node, value, dot)
        else:
            for name in node.pipeline.names:
                self._take(name, value, declares=node.pipeline.declares)
            inner = value if node.kind == "with" and value else dot
            jump = self.walk(node.body if _is_true(value) else node.otherwise, inner)
        del self._variables[mark:]
        return jump

    def _range(self, node: Branch, value: Any, dot: Any) -> str:
        pairs = _pairs(value)
        if not pairs:
            return self.walk(node.otherwise, dot)
        mark = len(self._variables)
        for key, item in pairs:
            self._count()
            names = node.pipeline.names
            taken = (item,) if len(names) == 1 else (key, item)
            for name, each in zip(names, taken, strict=False):
                self._take(name, each, declares=node.pipeline.declares)
            jump = self.walk(node.body, item)
            del self._variables[mark:]
            if jump == "break":
                break
        return ""

    def _take(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
            return
        place = self._find(name)
        self._variables[place] = (name, value)

    def _find(self, name: str) -> int:
        places = (i for i in reversed(range(len(self._variables))) if self._variables[i][0] == name)
        place = next(places, None)
        if place is None:
            _refuse(f"there is no variable {name}")
        return place

    def _value(self, expression: Expression, dot: Any) -> Any:
        self._count()
        if isinstance(expression, Literal):
            return expression.value
        if isinstance(expression, Field):
            return _follow(dot, expression.path)
        if isinstance(expression, Variable):
            return _follow(self._variables[self._find(expression.name)][1], expression.path)
        if isinstance(expression, Inner):
            return _follow(self._value(expression.expression, dot), expression.path)
        return self._call(expression, dot)

    def _call(self, call: Call, dot: Any) -> Any:
        if call.function in ("and", "or"):
            value = None
            for argument in call.arguments:
                value = self._value(argument, dot)
                if _is_true(value) is (call.function == "or"):
                    break
            return value
        arguments = [self._value(argument, dot) for argument in call.arguments]
        try:
            return self._functions[call.function](*arguments)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            _refuse(f"{call.function}: {error}")

    def _count(self) -> None:
        self._num_steps += 1
        if self._num_steps > MAX_STEPS:
            _refuse("it does not end")


def _refuse(what: str) -> NoReturn:
    raise InvalidInput(f"the model's chat template fails: {what}")


def _is_true(value: Any) -> bool:
    return True if isinstance(value, Struct) else bool(value)


def _follow(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        fields = value.fields if isinstance(value, Struct) else value
        if fields is None:
            return None
        if not isinstance(fields, Mapping):
            _refuse(f"{show(value)!r} has no field {name}")
        value = fields.get(name)
    return value


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """What `range` goes through; keys of maps in their order."""
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(min(value, MAX_STEPS))]
    if value is not None and not isinstance(value, list):
        _refuse(f"range over {show(value)!r}")
    return list(enumerate(value or []))


def _functions() -> dict[str, Callable[..., Any]]:
    today = datetime.now(UTC).astimezone()
    yesterday = today - timedelta(days=1)
    return {
        "not": lambda value: not _is_true(value),
        "len": len,
        "index": _index,
        "slice": _slice,
        "eq": lambda first, *others: any(first == other for other in others),
        "ne": lambda first, second: first != second,
        "lt": lambda first, second: first < second,
        "le": lambda first, second: first <= second,
        "gt": lambda first, second: first > second,
        "ge": lambda first, second: first >= second,
        "print": lambda *values: "".join(map(show, values)),
        "println": lambda *values: " ".join(map(show, values)) + "\n",
        "printf": _printf,
        "json": to_json,
        "currentDate": lambda *_: today.strftime("%Y-%m-%d"),
        "yesterdayDate": lambda *_: yesterday.strftime("%Y-%m-%d"),
    }


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[_place(key, len(value) - 1)]
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    start, stop = (*bounds, *(0, len(value))[len(bounds) :])[:2]
    stop = _place(stop, len(value))
    return value[_place(start, stop) : stop]


def _place(number: Any, limit: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= limit:
        raise IndexError(f"{show(number)} is out of range")
    return number


def _printf(text: str, *values: Any) -> str:
    left = list(values)

    def write(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        if not left:
            raise ValueError("fewer values than verbs")
        value = left.pop(0)
        return json.dumps(value, ensure_ascii=False) if found[1] == "q" else show(value)

    return re.sub(r"%([svdqt%])", write, text)

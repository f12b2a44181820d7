"""Bounds on what a chat template may use: time, steps, and the size of every value it makes.

Steps are counted where a template can repeat itself (loop and macro bodies); sizes are checked
where a value can grow in one operation (operators, calls, filters, literals, output).
"""

import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from jinja2.exceptions import SecurityError

MAX_STEPS = 300_000
MAX_SECONDS = 3.0
MAX_TEXT_CHARS = 32_000_000
MAX_ITEMS = 200_000
MAX_DEPTH = 64
MAX_ARGUMENT = 100_000
MAX_INDENT = 16
_MAX_INTEGER_BITS = 4096
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


budget: ContextVar[Budget] = ContextVar("template_budget")


def check_value(value: Any) -> Any:
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


def check_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str | list | tuple) and isinstance(times, int):
                limit = MAX_TEXT_CHARS if isinstance(many, str) else MAX_ITEMS
                require(len(many) * times <= limit)
    elif operator == "**":
        require(not isinstance(right, int) or abs(right) <= 64)
        require(not isinstance(left, int) or left.bit_length() <= 64)
    elif operator == "%" and isinstance(left, str):
        check_format(left, right)


def check_format(form: str, values: Any) -> None:
    require(_WIDE_FORMAT.search(form) is None)
    num_places = form.count("%") + form.count("{")
    require(len(form) + num_places * _text_size(values) <= MAX_TEXT_CHARS)


def _text_size(value: Any) -> int:
    """A bound on the length of `str(value)`."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_text_size(key) + _text_size(item) + 8 for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return sum(_text_size(item) + 8 for item in value)
    return 2048


def check_text_method(name: str, text: str, args: Any, kwargs: Any) -> None:
    if name == "replace" and len(args) > 1 and isinstance(args[0], str):
        require(len(text) + text.count(args[0]) * len(str(args[1])) <= MAX_TEXT_CHARS)
    elif name == "join" and args:
        items = args[0] if isinstance(args[0], list | tuple) else []
        require(len(text) * len(items) + _text_size(items) <= MAX_TEXT_CHARS)
    elif name == "expandtabs":
        require(len(text) * (args[0] if args else 8) <= MAX_TEXT_CHARS)
    check_arguments(args, kwargs)


def check_arguments(args: Any, kwargs: Any) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, int):
            require(abs(value) <= MAX_ARGUMENT)
        else:
            check_value(value)


def bounded_filter(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with its numbers, its growth and its result checked."""

    @wraps(made)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        texts = [value for value in args if isinstance(value, str)]
        check_arguments([value for value in args if _is_plain(value)], kwargs)
        if name == "replace" and len(texts) > 2:
            require(len(texts[0]) + texts[0].count(texts[1]) * len(texts[2]) <= MAX_TEXT_CHARS)
        elif name == "format" and texts:
            check_format(texts[0], [*texts[1:], *kwargs.values()])
        elif name == "indent" and texts:
            require(texts[0].count("\n") * _indent_width(args, kwargs) <= MAX_TEXT_CHARS)
        elif name == "join":
            _check_join(args, kwargs, texts)
        return check_value(made(*args, **kwargs))

    return bounded


def _check_join(args: Any, kwargs: Any, texts: list[str]) -> None:
    separator = len(texts[-1]) if texts else len(str(kwargs.get("d", "")))
    for value in args:
        if isinstance(value, list | tuple):
            require(separator * len(value) + _text_size(value) <= MAX_TEXT_CHARS)
        elif isinstance(value, str):
            require(separator * len(value) <= MAX_TEXT_CHARS)


def _indent_width(args: Any, kwargs: Any) -> int:
    widths = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, int | str)]
    return max((len(value) if isinstance(value, str) else value for value in widths), default=4)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | list | tuple | Mapping)


def require(holds: bool) -> None:
    if not holds:
        raise TemplateRunsAway("the template asks for something too large")

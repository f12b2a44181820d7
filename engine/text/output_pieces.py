"""What an answer is made of."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Content:
    """Text for the user."""

    text: str


@dataclass(frozen=True)
class Thinking:
    """Text the model wrote for itself."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A function the model wants called."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class CallPart:
    """More of a call that may not be whole yet; joined, its `arguments` are the call's as JSON."""

    index: int
    """Number of the call in its answer, from 0."""
    name: str = ""
    """Given in a call's first part."""
    arguments: str = ""
    is_last: bool = False
    """Whether the call is whole; said at the end of its stretch, so the next may have begun."""


Piece = Content | Thinking | ToolCall | CallPart

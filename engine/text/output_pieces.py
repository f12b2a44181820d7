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


Piece = Content | Thinking | ToolCall

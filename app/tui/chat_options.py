"""What the user may set for a chat: sampling, length, thinking and the system prompt."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.errors import InvalidInput

Thinking = Literal["auto", "on", "off"]

THINKING_CHOICES: tuple[Thinking, ...] = ("auto", "on", "off")

_RANGES: dict[str, tuple[type[int] | type[float], float, float]] = {
    "temperature": (float, 0, 100),
    "top_p": (float, 0, 1),
    "top_k": (int, 0, 1_000_000),
    "seed": (int, 0, 2**32 - 1),
    "max_tokens": (int, 1, 1_000_000_000),
}

NUMBERS = tuple(_RANGES)
"""The names of the numeric options, in the order they are shown."""


@dataclass(frozen=True)
class ChatOptions:
    """None leaves a choice to the model's own defaults."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    """0: no limit."""
    seed: int | None = None
    """None: a fresh one for each reply."""
    max_tokens: int | None = None
    """None: until the model stops or the context is full."""
    thinking: Thinking = "auto"
    system: str = ""

    def request_fields(self) -> dict[str, Any]:
        """The part of an `/api/chat` body that these options fill."""
        names = {"max_tokens": "num_predict"}
        options = {
            names.get(name, name): getattr(self, name)
            for name in NUMBERS
            if getattr(self, name) is not None
        }
        fields: dict[str, Any] = {"options": options} if options else {}
        if self.thinking != "auto":
            fields["think"] = self.thinking == "on"
        return fields

    def summary(self) -> str:
        """What differs from the defaults, in one line; empty when nothing does."""
        parts = [
            f"{name.replace('_', ' ')} {getattr(self, name)}"
            for name in NUMBERS
            if getattr(self, name) is not None
        ]
        if self.thinking != "auto":
            parts.append(f"thinking {self.thinking}")
        if self.system:
            parts.append("own system prompt")
        return ", ".join(parts)


def parse_number(name: str, text: str) -> float | int | None:
    """The value of a numeric option as typed; empty means None.

    Raises:
        InvalidInput: not a number, or outside the option's range.
    """
    kind, low, high = _RANGES[name]
    text = text.strip()
    if not text:
        return None
    label = name.replace("_", " ")
    accepted = f"a {'whole ' if kind is int else ''}number from {low:g} to {high:,.0f}"
    try:
        value = kind(text)
    except ValueError:
        raise InvalidInput(f"{label} must be {accepted}, not {text!r}") from None
    if not low <= value <= high:
        raise InvalidInput(f"{label} must be {accepted}, not {text}")
    return value


def parse_options(stored: Mapping[str, Any]) -> ChatOptions:
    """Options as they were written to the history; names of other versions are passed over."""
    known = {field.name for field in dataclasses.fields(ChatOptions)}
    return ChatOptions(**{name: value for name, value in stored.items() if name in known})

"""What the chat knows about the model it talks to. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

Phase = Literal["starting", "loading", "ready", "failed"]
"""`starting`: the daemon is not there yet; `loading`: it reads the model."""

_PHRASES: dict[Phase, str] = {
    "starting": "starting",
    "loading": "loading",
    "ready": "",
    "failed": "not loaded",
}


@dataclass(frozen=True)
class ModelState:
    """`context_length` in tokens, known once the model is loaded."""

    name: str
    phase: Phase = "starting"
    quantization: str = ""
    context_length: int | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it is on its way to being ready."""
        return self.phase in ("starting", "loading")

    def label(self, *, max_chars: int) -> str:
        """Name, quantization when it is ready, else its phase; a long name loses its middle."""
        suffix = _PHRASES[self.phase] or self.quantization
        name = shorten(display_name(self.name), max_chars - len(suffix) - 1)
        return f"{name} {suffix}".strip()


@dataclass(frozen=True)
class ModelChoice:
    """A model of the library, as the picker lists it."""

    name: str
    num_bytes: int
    parameters: str = ""
    """As its file says, for example `8.0B`."""
    quantization: str = ""
    is_loaded: bool = False

    def matches(self, text: str) -> bool:
        """Whether every word of `text` is in its name or quantization."""
        whole = f"{self.name} {self.quantization} {self.parameters}".lower()
        return all(word in whole for word in text.lower().split())


def parse_choices(
    tags: Sequence[Mapping[str, Any]], loaded: Sequence[Mapping[str, Any]]
) -> list[ModelChoice]:
    """The entries of `/api/tags`, marked with those of `/api/ps`."""
    loaded_names = {entry["name"] for entry in loaded}
    return [
        ModelChoice(
            name=entry["name"],
            num_bytes=int(entry.get("size", 0)),
            parameters=str((entry.get("details") or {}).get("parameter_size") or ""),
            quantization=str((entry.get("details") or {}).get("quantization_level") or ""),
            is_loaded=entry["name"] in loaded_names,
        )
        for entry in tags
    ]


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model.

    `:latest` is the tag that is left out; a file given by its path is known to the daemon by its
    name without the ending.
    """
    return _known_name(one) == _known_name(other)


def _known_name(name: str) -> str:
    if PurePath(name).is_absolute():
        return PurePath(name).name.removesuffix(".gguf")
    return name.removesuffix(":latest")


def display_name(name: str) -> str:
    """A model's name without the default tag; of a path its last part."""
    if PurePath(name).is_absolute():
        return PurePath(name).name
    return name.removesuffix(":latest")


def shorten(text: str, max_chars: int) -> str:
    """The text with its middle cut out when it is too long."""
    if len(text) <= max_chars:
        return text
    if max_chars < 3:
        return text[: max(0, max_chars)]
    head = (max_chars - 1) // 2
    return text[:head] + "…" + text[len(text) - (max_chars - 1 - head) :]

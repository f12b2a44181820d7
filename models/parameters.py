"""Generation options that may be stored with a model: their names, types and former names. Pure."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from models.errors import InvalidInput
from models.memory_plan import parse_kv_type
from models.name import near_names

WHOLE, NUMBER, FLAG, TEXTS = "whole number", "number", "true or false", "text"
NAME, KV_TYPE = "model name", "f16, q8_0 or auto"

TYPES = {
    "num_ctx": WHOLE,
    "num_batch": WHOLE,
    "num_gpu": WHOLE,
    "main_gpu": WHOLE,
    "num_thread": WHOLE,
    "num_keep": WHOLE,
    "num_predict": WHOLE,
    "draft_num_predict": WHOLE,
    "top_k": WHOLE,
    "repeat_last_n": WHOLE,
    "seed": WHOLE,
    "top_p": NUMBER,
    "min_p": NUMBER,
    "typical_p": NUMBER,
    "temperature": NUMBER,
    "repeat_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "use_mmap": FLAG,
    "stop": TEXTS,
    "draft": NAME,
    "kv_type": KV_TYPE,
}
"""Source: ollama, api/types.go (`Options`, `Runner`). Ours are `draft`, a model that drafts, and
`kv_type`, how keys and values are kept."""

FORMER = frozenset({
    "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "num_gqa", "mirostat",
    "mirostat_tau", "mirostat_eta", "tfs_z", "penalize_newline", "embedding_only",
    "rope_frequency_base", "rope_frequency_scale",
})  # fmt: skip
"""Options that Ollama once had; Modelfiles still set them."""


def parse_parameter(name: str, text: str) -> Any:
    """The value of the option `name` (not a former one) as a Modelfile writes it.

    Raises:
        InvalidInput: no such option, or a value of another type.
    """
    kind = TYPES.get(name)
    if kind is None:
        near = near_names(name, TYPES)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(TYPES)}."
        raise InvalidInput(f"unknown parameter {name!r}", hint=hint)
    try:
        return _PARSERS[kind](text)
    except ValueError:
        raise InvalidInput(f"parameter {name}: {text!r} is not a {kind}") from None


def merge_parameters(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Options by name; a later one wins, but stop strings add up."""
    merged: dict[str, Any] = {}
    for name, value in pairs:
        merged[name] = [*merged.get(name, []), value] if TYPES.get(name) == TEXTS else value
    return merged


def _parse_whole(text: str) -> int:
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def _parse_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _parse_flag(text: str) -> bool:
    known = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def _parse_kv_type(text: str) -> str:
    parse_kv_type(text)
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    WHOLE: _parse_whole,
    NUMBER: _parse_number,
    FLAG: _parse_flag,
    TEXTS: str,
    NAME: str,
    KV_TYPE: _parse_kv_type,
}

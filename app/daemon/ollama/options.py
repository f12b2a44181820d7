"""Generation options by Ollama's names: their types, defaults and meaning for the engine."""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.request import SamplingParams
from models.errors import InvalidInput
from models.parameters import FLAG, FORMER, KV_TYPE, NAME, NUMBER, TEXTS, TYPES, WHOLE

log = logging.getLogger("localllm.daemon")

_KINDS = {
    WHOLE: "integer", NUMBER: "float32", FLAG: "boolean", TEXTS: "array", NAME: "string",
    KV_TYPE: "string",
}  # fmt: skip
"""Ollama's words for the types."""


@dataclass(frozen=True)
class Options:
    """What a request's options mean here."""

    sampling: SamplingParams
    stop: tuple[str, ...]
    max_context_tokens: int | None
    num_kept_tokens: int | None
    """Of the prompt, when the context is full; None: as the prompt suggests."""


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The known options with their types right; others are logged and left out.

    Raises:
        InvalidInput: a value of another type, in Ollama's words.
    """
    checked = {}
    for name, value in options.items():
        if name not in TYPES:
            if name not in FORMER:
                log.warning("invalid option provided: %s", name)
        elif value is not None:
            checked[name] = _check(name, value)
    return checked


def _check(name: str, value: Any) -> Any:
    kind = TYPES[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == WHOLE and is_number:
        return int(value)
    if kind == NUMBER and is_number:
        return float(value)
    if kind == FLAG and isinstance(value, bool):
        return value
    if kind == TEXTS and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind in (NAME, KV_TYPE) and isinstance(value, str):
        return value
    raise InvalidInput(f'option "{name}" must be of type {_KINDS[kind]}')


def parse_options(
    options: Mapping[str, Any],
    stored: Mapping[str, Any],
    *,
    num_logprobs: int | None = None,
    logit_bias: Mapping[int, float] | None = None,
) -> Options:
    """Options of a request before those stored with the model before Ollama's defaults."""
    chosen = check_options(stored) | check_options(options)
    seed = chosen.get("seed", -1)
    num_predict = chosen.get("num_predict", -1)
    sampling = SamplingParams(
        temperature=chosen.get("temperature", 0.8),
        top_k=max(chosen.get("top_k", 40), 0),
        top_p=chosen.get("top_p", 0.9),
        min_p=chosen.get("min_p", 0.0),
        typical_p=chosen.get("typical_p", 1.0),
        repeat_penalty=chosen.get("repeat_penalty", 1.0),
        presence_penalty=chosen.get("presence_penalty", 0.0),
        frequency_penalty=chosen.get("frequency_penalty", 0.0),
        penalty_window=max(chosen.get("repeat_last_n", 64), -1),
        logit_bias=dict(logit_bias or {}),
        seed=None if seed == -1 else seed,
        max_tokens=num_predict if num_predict > 0 else None,
        num_logprobs=num_logprobs,
    )
    num_ctx, num_keep = chosen.get("num_ctx"), chosen.get("num_keep", -1)
    return Options(
        sampling=sampling,
        stop=tuple(text for text in chosen.get("stop", ()) if text),
        max_context_tokens=max(num_ctx, 4) if num_ctx and num_ctx > 0 else None,
        num_kept_tokens=num_keep if num_keep >= 0 else None,
    )


def fix_seed(sampling: SamplingParams, choice: int) -> SamplingParams:
    """Sampling with a seed of its own for each choice; one is drawn where none is given.

    Known to the daemon, the seed lets another worker go on with the same text.
    """
    seed = secrets.randbits(62) if sampling.seed is None else sampling.seed + choice
    return replace(sampling, seed=seed)

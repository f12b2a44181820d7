"""Cuts hidden states to the rows that are sampled, before the head multiplies them.

The head is the largest matrix, and in prefill all rows but the last would be thrown away.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.kv_cache import LayerCache


def sample_rows_only(network: nn.Module) -> None:
    """Let the part of the network below the head give the wanted rows alone."""
    inner = below_head(network)
    if inner is None:
        return
    inner_class: Any = type(inner)

    class SampledRows(inner_class):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
            hidden: mx.array = super().__call__(*args, **kwargs)
            if self._num_wanted_rows is not None:
                return hidden[:, hidden.shape[1] - self._num_wanted_rows :]
            cache = kwargs.get("cache", args[1] if len(args) > 1 else None)
            batch = cache[0].batch if cache and isinstance(cache[0], LayerCache) else None
            return hidden if batch is None else hidden[batch.sample_rows]

    SampledRows.__module__ = inner_class.__module__
    inner.__class__ = SampledRows
    inner._num_wanted_rows = None


@contextmanager
def wanted_rows(network: nn.Module, number: int) -> Iterator[None]:
    """Within, hidden states [1, L, W] of mlx-lm's own caches are cut to the last `number`."""
    inner = below_head(network)
    if inner is None:
        yield
        return
    inner._num_wanted_rows = number
    try:
        yield
    finally:
        inner._num_wanted_rows = None


_INNER_NAMES = ("language_model", "model", "transformer", "backbone")


def below_head(network: Any) -> Any:
    """The module that gives hidden states to the head; None where the family has no such part."""
    inner = network
    while child := next((inner[name] for name in _INNER_NAMES if name in inner), None):
        inner = child
    return None if inner is network or "lm_head" in inner else inner

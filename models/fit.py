"""Whether a model's weights fit into this machine's memory, with room for a conversation."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

Fit = Literal["fits", "tight", "too large"]

COMFORTABLE_SHARE = 0.6
"""Of the machine's memory, for weights and cache; the engine plans with the same."""

_LARGEST_SHARE = 0.8
_CONVERSATION_BYTES = 768 << 20
"""For a step's activations and the cache of a few thousand tokens."""

_STEP_BYTES = 256 << 20


def total_memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def weight_budget_bytes(memory_bytes: int) -> int:
    """The most that weights may take where everything else shall go on working.

    >>> weight_budget_bytes(16 << 30) >> 20
    9062
    """
    return max(int(memory_bytes * COMFORTABLE_SHARE) - _CONVERSATION_BYTES, 0)


def rate_fit(weight_bytes: int, memory_bytes: int) -> Fit:
    """How weights of this size sit in a memory of that size.

    >>> [rate_fit(size << 30, 16 << 30) for size in (4, 11, 40)]
    ['fits', 'tight', 'too large']
    """
    if weight_bytes <= weight_budget_bytes(memory_bytes):
        return "fits"
    return "tight" if weight_bytes <= memory_bytes * _LARGEST_SHARE else "too large"


@dataclass(frozen=True)
class ContextFit:
    """How long conversations may be. `token_bytes`: of the cache, for one token; 0 if unknown.

    `comfortable_tokens` is at most `trained_tokens`, and 0 where not even the weights fit.
    """

    weight_bytes: int
    token_bytes: int
    trained_tokens: int
    comfortable_tokens: int
    fit: Fit


def fit_context(weight_bytes: int, metadata: Mapping[str, Any], memory_bytes: int) -> ContextFit:
    """What a model of these weights, with GGUF's keys as metadata, can do in this memory."""
    architecture = metadata.get("general.architecture", "")
    trained_tokens = _whole(metadata.get(f"{architecture}.context_length"))
    token_bytes = cache_token_bytes(metadata)
    room_bytes = int(memory_bytes * COMFORTABLE_SHARE) - weight_bytes - _STEP_BYTES
    tokens = max(room_bytes, 0) // token_bytes if token_bytes else 0
    return ContextFit(
        weight_bytes,
        token_bytes,
        trained_tokens,
        min(tokens, trained_tokens) if trained_tokens else tokens,
        rate_fit(weight_bytes, memory_bytes),
    )


def cache_token_bytes(metadata: Mapping[str, Any]) -> int:
    """Bytes of keys and values that one token takes in 16 bits; 0 where metadata do not say.

    Layers that attend to a window only, or do not attend at all, count as if they attended to
    everything: it is an upper bound.
    """
    return _num_heads_kept(metadata) * sum(_head_sizes(metadata)) * 2


def small_token_bytes(metadata: Mapping[str, Any]) -> int:
    """The same in 8 bits, with a 16-bit scale for each 32 (or 16); 0 where sizes do not allow it.

    The layout is `metal_kernels.int8_rows`'.
    """
    sizes = _head_sizes(metadata)
    group = next((g for g in (32, 16) if not any(size % g for size in sizes)), 0)
    return _num_heads_kept(metadata) * (sum(sizes) + sum(sizes) // group * 2) if group else 0


def _num_heads_kept(metadata: Mapping[str, Any]) -> int:
    """Heads of keys in all layers."""
    prefix = metadata.get("general.architecture", "")
    heads = metadata.get(f"{prefix}.attention.head_count")
    kv_heads = metadata.get(f"{prefix}.attention.head_count_kv", heads)
    if _is_array(kv_heads):
        return sum(map(int, cast(Iterable[int], kv_heads)))
    return _whole(kv_heads) * _whole(metadata.get(f"{prefix}.block_count"))


def _head_sizes(metadata: Mapping[str, Any]) -> tuple[int, int]:
    """Sizes of a key and a value."""
    prefix = metadata.get("general.architecture", "")
    heads = _whole(metadata.get(f"{prefix}.attention.head_count"))
    width = _whole(metadata.get(f"{prefix}.embedding_length"))
    key_size = _whole(metadata.get(f"{prefix}.attention.key_length")) or width // max(heads, 1)
    return key_size, _whole(metadata.get(f"{prefix}.attention.value_length")) or key_size


def _is_array(value: object) -> bool:
    return isinstance(value, list | tuple) or hasattr(value, "tolist")


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

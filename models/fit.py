"""Whether a model's weights fit into this machine's memory, with room for a conversation."""

import os
from typing import Literal

Fit = Literal["fits", "tight", "too large"]

COMFORTABLE_SHARE = 0.6
"""Of the machine's memory, for weights and cache; the engine plans with the same."""

_LARGEST_SHARE = 0.8
_CONVERSATION_BYTES = 768 << 20
"""For a step's activations and the cache of a few thousand tokens."""


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

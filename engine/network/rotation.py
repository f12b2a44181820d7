"""Remembers what rotary embedding was last applied to, so that a cache can turn and write at once.

The zoo's attention turns queries and keys, hands the keys to the cache and then asks for attention.
Arrays are lazy: turned ones that nobody reads are never computed.
"""

from collections import deque
from typing import NamedTuple

import mlx.core as mx


class Rotation(NamedTuple):
    """The settings of a rotary embedding (see `metal_kernels.rope`)."""

    inv_freq: mx.array
    scale: float
    interleaved: bool


class Turned(NamedTuple):
    """What an array was before it was turned, by which positions and how."""

    rows: mx.array
    positions: mx.array
    rotation: Rotation


_latest: deque[tuple[mx.array, Turned]] = deque(maxlen=2)
"""Of the queries and keys of one layer."""


def remember(result: mx.array, before: Turned) -> None:
    """Note that `result` is `before` turned."""
    _latest.append((result, before))


def recall(result: mx.array) -> Turned | None:
    """What `result`, this very object, was made from, if it is one of the last two."""
    return next((before for made, before in _latest if made is result), None)

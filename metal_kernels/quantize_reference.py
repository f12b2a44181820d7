"""The definition of how weights become GGUF blocks: searches for scales and codes, and the layouts.

In NumPy, vectorised over blocks. Sums run over columns in their order, so that the C++ kernels,
which do the same with a block in each lane, come to the same bits. The searches follow the idea of
llama.cpp's: first guesses around the obvious scale, weighted least squares for each, the best wins.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from metal_kernels.block_packing import PACK, Parts

Array = np.ndarray[Any, Any]

TINY = np.float32(1e-30)
"""What spreads less is constant."""

_F = np.float32
_BLOCKS_AT_ONCE = 2048


@dataclass(frozen=True)
class Layout:
    """A block of `columns` weights, `group` of which share a scale.

    With `mins` a value is scale * code - min, else scale * code; codes lie in [low, high]. With
    `scales` the groups' scales (and mins) are integers in that range under one float16. Without
    `search` the largest magnitude gets the largest code.
    """

    columns: int
    group: int
    low: int
    high: int
    mins: bool = False
    search: bool = True
    scales: tuple[int, int] | None = None


LAYOUTS = {
    "Q4_0": Layout(32, 32, -8, 7),
    "Q4_1": Layout(32, 32, 0, 15, mins=True),
    "Q5_0": Layout(32, 32, -16, 15),
    "Q5_1": Layout(32, 32, 0, 31, mins=True),
    "Q8_0": Layout(32, 32, -127, 127, search=False),
    "Q2_K": Layout(256, 16, 0, 3, mins=True, scales=(0, 15)),
    "Q3_K": Layout(256, 16, -4, 3, scales=(-32, 31)),
    "Q4_K": Layout(256, 32, 0, 15, mins=True, scales=(0, 63)),
    "Q5_K": Layout(256, 32, 0, 31, mins=True, scales=(0, 63)),
    "Q6_K": Layout(256, 16, -32, 31, scales=(-128, 127)),
}


def quantize(name: str, values: Array, importance: Array | None) -> Array:
    """Rows float32 [N, K] as blocks uint8 [N, row_bytes]; `importance` float32 [K] weighs columns.

    ValueError when a value is not finite.
    """
    layout = LAYOUTS[name]
    blocks = np.ascontiguousarray(values, np.float32).reshape(-1, layout.columns)
    weights = None
    if importance is not None:
        weights = np.ascontiguousarray(importance, np.float32).reshape(-1, layout.columns)

    def quantize_from(start: int) -> Array:
        x = blocks[start : start + _BLOCKS_AT_ONCE]
        w = None
        if weights is not None:
            w = weights[np.arange(start, start + len(x)) % len(weights)]
        return _quantize_blocks(name, layout, x, w)

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy computes without the lock
        packed = list(threads.map(quantize_from, range(0, len(blocks), _BLOCKS_AT_ONCE)))
    return np.concatenate(packed).reshape(len(values), -1)


def _quantize_blocks(name: str, layout: Layout, x: Array, importance: Array | None) -> Array:
    count = len(x)
    padded = np.zeros((-count % 16, layout.columns), np.float32)
    x = np.concatenate([x, padded]).T.copy()  # [columns, B]: sums over axis 0 keep their order
    if importance is not None:
        importance = np.concatenate([importance, padded]).T.copy()
    with np.errstate(all="ignore"):
        parts = _search(layout, x, _weights(layout, x, importance))
    return PACK[name](_first(parts, count))


def _first(parts: Parts, count: int) -> Parts:
    fields = (parts.codes, parts.scales, parts.mins, parts.d, parts.dmin)
    return Parts(*(field[:count] for field in fields))


def _sum(a: Array) -> Array:
    total: Array = np.add.reduce(a, axis=0, dtype=np.float32)
    return total


def _weights(layout: Layout, x: Array, importance: Array | None) -> Array:
    """What an error in each column counts."""
    total = _sum(x * x)
    if not np.isfinite(total).all():
        raise ValueError("a weight is not a finite number")
    mean = total / _F(layout.columns)
    if importance is not None:
        weights: Array = importance * np.sqrt(_F(2) * mean + x * x)
        return weights
    return np.sqrt(mean) + np.abs(x) if layout.mins else x * x


def _search(layout: Layout, x: Array, w: Array) -> Parts:
    count = layout.columns // layout.group
    groups = [slice(g * layout.group, (g + 1) * layout.group) for g in range(count)]
    fits = [_fit_group(layout, x[group], w[group]) for group in groups]
    scale, minimum = np.stack([fit[0] for fit in fits]), np.stack([fit[1] for fit in fits])
    sums = np.stack([_sum(w[group]) for group in groups])
    zeros = np.zeros(scale.shape, np.float32)
    scale_codes, min_codes = zeros, zeros
    if layout.scales is not None:
        scale, scale_codes, d = _second_level(scale, sums, *layout.scales)
        minimum, min_codes, dmin = _second_level(minimum, sums, 0, layout.scales[1])
    else:
        d, dmin = scale[0].astype(np.float16), (_F(0) - minimum[0]).astype(np.float16)
        scale, minimum = d.astype(np.float32)[None], _F(0) - dmin.astype(np.float32)[None]
    inverse = np.repeat(_inverse_or_zero(scale), layout.group, axis=0)
    shifted = x + np.repeat(minimum, layout.group, axis=0)
    codes = _to_code(shifted * inverse, layout.low, layout.high) - _F(layout.low)
    return Parts(
        codes.T.astype(np.uint8), scale_codes.T.astype(int), min_codes.T.astype(int), d, dmin
    )


def _fit_group(layout: Layout, x: Array, w: Array) -> tuple[Array, Array]:
    if layout.mins:
        return _fit_scale_and_min(x, w, layout.high)
    nothing = np.zeros(x.shape[1], np.float32)
    if layout.search:
        return _fit_scale(x, w, layout.low, layout.high, layout.low), nothing
    return np.abs(x).max(axis=0) / _F(layout.high), nothing


def _to_code(a: Array, low: int, high: int) -> Array:
    return np.rint(np.minimum(np.maximum(a, _F(low)), _F(high)))


def _inverse_or_zero(a: Array) -> Array:
    return np.where(np.abs(a) > 0, _F(1) / a, _F(0))


def _fit_scale(x: Array, w: Array, low: int, high: int, peak_code: int) -> Array:
    """`scale` [B] such that x [n, B] is about scale * code, codes in [low, high].

    19 first guesses, in which the value farthest from zero gets about `peak_code`.
    """
    largest = np.abs(x).max(axis=0)
    peak = np.take_along_axis(x, np.abs(x).argmax(axis=0)[None], axis=0)[0]
    peak = np.where(largest > TINY, peak, _F(1))
    scale = np.where(largest > TINY, peak / _F(peak_code), _F(0))
    best = np.zeros_like(scale)
    for step in range(-9, 10):
        code = _to_code((_F(peak_code) + _F(0.1) * _F(step)) / peak * x, low, high)
        weighted = w * code
        total = _sum(weighted * x)
        fitted = total / _sum(weighted * code)
        gain = total * fitted
        scale = np.where(gain > best, fitted, scale)
        best = np.where(gain > best, gain, best)
    return scale


def _fit_scale_and_min(x: Array, w: Array, high: int) -> tuple[Array, Array]:
    """`scale` and `min` [B] for x [n, B] about scale * code - min, codes in [0, high], min >= 0.

    37 first guesses around the scale that spans the values.
    """
    low = np.minimum(x.min(axis=0), _F(0))
    span = np.maximum(x.max(axis=0) - low, TINY)
    sum_w, sum_x, shifted = _sum(w), _sum(w * x), x - low
    scale, offset = span / _F(high), low
    best = _error(x, w, _to_code(_F(high) / span * shifted, 0, high), scale, offset)
    for step in range(37):
        inverse = (_F(high) + (_F(0.05) * _F(step) - _F(0.9))) / span
        code = _to_code(inverse * shifted, 0, high)
        weighted = w * code
        sum_l, sum_ll, sum_xl = _sum(weighted), _sum(weighted * code), _sum(weighted * x)
        spread = sum_w * sum_ll - sum_l * sum_l
        fitted = (sum_w * sum_xl - sum_x * sum_l) / spread
        shift = (sum_ll * sum_x - sum_l * sum_xl) / spread
        fitted = np.where(shift > 0, sum_xl / sum_ll, fitted)
        shift = np.where(shift > 0, _F(0), shift)
        error = np.where(spread > 0, _error(x, w, code, fitted, shift), _F(np.inf))
        scale = np.where(error < best, fitted, scale)
        offset = np.where(error < best, shift, offset)
        best = np.where(error < best, error, best)
    return scale, _F(0) - offset


def _error(x: Array, w: Array, code: Array, scale: Array, offset: Array) -> Array:
    miss = scale * code + offset - x
    return _sum(w * (miss * miss))


def _second_level(values: Array, weights: Array, low: int, high: int) -> tuple[Array, Array, Array]:
    """[groups, B] as integers under one float16: what they stand for, the integers, the float16."""
    peak_code = low if low < 0 else high
    half = _fit_scale(values, weights, low, high, peak_code).astype(np.float16)
    d = half.astype(np.float32)
    codes = _to_code(values * _inverse_or_zero(d), low, high)
    return d * codes, codes, half

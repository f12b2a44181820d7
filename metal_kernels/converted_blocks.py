"""Blocks of formats without a kernel, in one that has: without loss where one can hold them.

The codes of IQ1_S, IQ1_M, IQ3_XXS and IQ3_S are small integers times a scale for 16 or 32 columns,
which Q6_K holds exactly; the ternary ones are Q2_K's. The others become F16, or Q8_0 where that
would be too large. Source of the layouts: ggml-common.h.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from metal_kernels import reference
from metal_kernels.quantize import quantize_blocks

Bytes = np.ndarray[Any, Any]
Units = tuple[Bytes, Bytes]
"""Of n blocks: the scale float16 [n], and its integer multiple int [n, 16] for each 16 columns."""

SLAB_VALUES = 1 << 20
"""Values that are expanded at a time."""


def convert_blocks(quantization: str, target: str, blocks: Bytes, num_columns: int) -> Bytes:
    """Rows uint8 [N, row_bytes] of `quantization` as rows of `target`, a slab at a time."""
    result = np.empty((len(blocks), reference.row_bytes(target, num_columns)), np.uint8)
    for part in _slabs(len(blocks), num_columns):
        result[part] = _convert(quantization, target, blocks[part], num_columns)
    return result


def _slabs(num_rows: int, num_columns: int) -> Iterator[slice]:
    step = max(1, SLAB_VALUES // num_columns)
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _convert(quantization: str, target: str, rows: Bytes, num_columns: int) -> Bytes:
    values = reference.dequantize_blocks(quantization, rows, num_columns)
    if target == "F16":
        return values.astype(np.float16).view(np.uint8)
    if target == "Q6_K":
        parse = _UNITS[quantization]
        blocks = np.ascontiguousarray(rows).reshape(-1, reference.row_bytes(quantization, 256))
        return _pack_q6_k(values.reshape(-1, 256), *parse(blocks)).reshape(len(rows), -1)
    if target == "Q2_K":
        return _pack_ternary(values.reshape(-1, 256)).reshape(len(rows), -1)
    return quantize_blocks(target, values.view(np.uint8), "F32", num_columns)


def _pack_q6_k(values: Bytes, scale: Bytes, multiples: Bytes) -> Bytes:
    """uint8 [n, 210]"""
    units = scale.astype(np.float32)[:, None] * multiples
    units = np.where(units == 0, 1, units)
    codes = np.rint(values.reshape(-1, 16, 16) / units[..., None]).astype(np.int8) + 32
    assert codes.min(initial=0) >= 0
    assert codes.max(initial=0) <= 63
    quarters = codes.view(np.uint8).reshape(-1, 2, 4, 32)
    low = (quarters[:, :, :2] & 15) | ((quarters[:, :, 2:] & 15) << 4)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = np.bitwise_or.reduce((quarters >> 4) << shifts, axis=2)
    parts = (
        low.reshape(len(values), 128),
        high.reshape(len(values), 64),
        multiples.astype(np.int8).view(np.uint8),
        np.ascontiguousarray(scale, np.float16).view(np.uint8).reshape(-1, 2),
    )
    return np.concatenate(parts, axis=1)


def _pack_ternary(values: Bytes) -> Bytes:
    """Minus one, zero and one times a scale as Q2_K: a code times the scale, less the scale."""
    scale = np.abs(values).max(axis=1, keepdims=True)
    codes = np.sign(values).astype(np.int8) + 1
    quarters = codes.view(np.uint8).reshape(-1, 2, 4, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    packed = np.bitwise_or.reduce(quarters << shifts, axis=2).reshape(len(values), 64)
    halves = np.repeat(scale.astype(np.float16), 2, axis=1).view(np.uint8)
    multiples = np.full((len(values), 16), 1 | 1 << 4, np.uint8)
    return np.concatenate([multiples, packed, halves], axis=1)


def _half(field: Bytes) -> Bytes:
    return np.ascontiguousarray(field).view(np.float16)[:, 0]


def _odd(codes: Bytes) -> Bytes:
    """The multiple that a scale's code stands for, each for two times 16 columns."""
    return np.repeat(2 * codes.astype(np.int32) + 1, 16 // codes.shape[1], axis=1)


def _iq1_s(blocks: Bytes) -> Units:
    high = np.ascontiguousarray(blocks[:, 34:]).view(np.uint16)
    return _half(blocks[:, :2]) / np.float16(8), _odd((high >> 12) & 7)


def _iq1_m(blocks: Bytes) -> Units:
    words = np.ascontiguousarray(blocks[:, 48:]).view(np.uint16)
    nibbles = (words & 0xF000) >> np.array([12, 8, 4, 0], np.uint16)
    scale = np.bitwise_or.reduce(nibbles, axis=1).astype(np.uint16).view(np.float16)
    codes = (words[:, :, None] >> np.array([0, 3, 6, 9], np.uint16)) & 7
    return scale / np.float16(8), _odd(codes.reshape(-1, 16))


def _iq3_xxs(blocks: Bytes) -> Units:
    words = np.ascontiguousarray(blocks[:, 66:]).view(np.uint32)
    return _half(blocks[:, :2]) / np.float16(2), _odd(words >> 28)


def _iq3_s(blocks: Bytes) -> Units:
    codes = blocks[:, 106:, None] >> np.array([0, 4], np.uint8) & 15
    return _half(blocks[:, :2]), _odd(codes.reshape(-1, 8))


_UNITS: dict[str, Callable[[Bytes], Units]] = {
    "IQ1_S": _iq1_s,
    "IQ1_M": _iq1_m,
    "IQ3_XXS": _iq3_xxs,
    "IQ3_S": _iq3_s,
}

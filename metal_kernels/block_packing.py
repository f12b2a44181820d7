"""How the parts of a block lie in a GGUF file: codes, scales and mins as bytes. The definition."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Parts:
    """Blocks spelled out: codes uint8 [B, columns] counted from the lowest, scales and mins
    int [B, groups], d and dmin float16 [B]."""

    codes: Array
    scales: Array
    mins: Array
    d: Array
    dmin: Array


def _bytes(halves: Array) -> Array:
    return np.ascontiguousarray(halves)[:, None].view(np.uint8)


def _nibbles(codes: Array) -> Array:
    return (codes[:, :16] & 15) | (codes[:, 16:] << 4)


def _fifth_bits(codes: Array) -> Array:
    return np.packbits(codes >> 4, axis=1, bitorder="little")


def _pairs(codes: Array) -> Array:
    """Two bits of 256 codes, four quarters of 32 in each byte."""
    four = (codes & 3).reshape(-1, 2, 4, 32)
    return (four[:, :, 0] | four[:, :, 1] << 2 | four[:, :, 2] << 4 | four[:, :, 3] << 6).reshape(
        -1, 64
    )


def _one_level(*fields: Callable[[Parts], Array]) -> Callable[[Parts], Array]:
    return lambda parts: np.concatenate([field(parts) for field in fields], axis=1)


def _q2_k(b: Parts) -> Array:
    scales = (b.scales | b.mins << 4).astype(np.uint8)
    return np.concatenate([scales, _pairs(b.codes), _bytes(b.d), _bytes(b.dmin)], axis=1)


def _q3_k(b: Parts) -> Array:
    # Bit i of byte j of the mask belongs to column 32 i + j.
    mask = np.packbits((b.codes >> 2).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    scales = (b.scales + 32).astype(np.uint8)
    low = (scales[:, :8] & 15) | (scales[:, 8:] & 15) << 4
    top = (scales >> 4).reshape(-1, 4, 4)
    high = top[:, 0] | top[:, 1] << 2 | top[:, 2] << 4 | top[:, 3] << 6
    return np.concatenate([mask, _pairs(b.codes), low, high, _bytes(b.d)], axis=1)


def _k_scales(b: Parts) -> Array:
    scales, mins = b.scales.astype(np.uint8), b.mins.astype(np.uint8)
    first = scales[:, :4] | (scales[:, 4:] >> 4) << 6
    second = mins[:, :4] | (mins[:, 4:] >> 4) << 6
    third = (scales[:, 4:] & 15) | (mins[:, 4:] & 15) << 4
    return np.concatenate([_bytes(b.d), _bytes(b.dmin), first, second, third], axis=1)


def _k_nibbles(codes: Array) -> Array:
    halves = codes.reshape(-1, 4, 2, 32)
    return ((halves[:, :, 0] & 15) | halves[:, :, 1] << 4).reshape(-1, 128)


def _q5_k(b: Parts) -> Array:
    high = np.packbits((b.codes >> 4).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    return np.concatenate([_k_scales(b), high, _k_nibbles(b.codes)], axis=1)


def _q6_k(b: Parts) -> Array:
    c = b.codes.reshape(-1, 2, 4, 32)
    low = (c[:, :, :2] & 15) | c[:, :, 2:] << 4
    top = c >> 4
    high = top[:, :, 0] | top[:, :, 1] << 2 | top[:, :, 2] << 4 | top[:, :, 3] << 6
    scales = b.scales.astype(np.int8).view(np.uint8)
    count = len(b.codes)
    return np.concatenate(
        [low.reshape(count, 128), high.reshape(count, 64), scales, _bytes(b.d)], axis=1
    )


PACK: dict[str, Callable[[Parts], Array]] = {
    "Q4_0": _one_level(lambda b: _bytes(b.d), lambda b: _nibbles(b.codes)),
    "Q4_1": _one_level(
        lambda b: _bytes(b.d), lambda b: _bytes(b.dmin), lambda b: _nibbles(b.codes)
    ),
    "Q5_0": _one_level(
        lambda b: _bytes(b.d), lambda b: _fifth_bits(b.codes), lambda b: _nibbles(b.codes)
    ),
    "Q5_1": _one_level(
        lambda b: _bytes(b.d),
        lambda b: _bytes(b.dmin),
        lambda b: _fifth_bits(b.codes),
        lambda b: _nibbles(b.codes),
    ),
    "Q8_0": _one_level(lambda b: _bytes(b.d), lambda b: b.codes - np.uint8(127)),
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": lambda b: np.concatenate([_k_scales(b), _k_nibbles(b.codes)], axis=1),
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
"""By the format's name."""

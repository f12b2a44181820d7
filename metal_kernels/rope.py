"""Rotary position embedding with any frequencies."""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu
from metal_kernels.metal import pointwise


def rope(
    x: mx.array,
    positions: mx.array,
    inv_freq: mx.array,
    *,
    scale: float = 1.0,
    interleaved: bool = False,
) -> mx.array:
    """Turn x [T, H, D] by positions int [T]; in x's dtype.

    The first 2 * R dimensions turn, R being the size of inv_freq (radians per token); the rest
    stays. Pairs are (i, i + R), or (2i, 2i + 1) if `interleaved` ("traditional" in MLX). `scale`
    multiplies cosine and sine (YaRN's attention factor).
    """
    assert x.ndim == 3
    assert positions.shape == x.shape[:1]
    assert 2 * inv_freq.size <= x.shape[-1]
    match backend():
        case "cpu":
            return cpu.rope(x, positions, inv_freq, scale, interleaved)
        case "metal":
            return pointwise.rope(x, positions, inv_freq, scale, interleaved)
        case _:
            return reference.rope(x, positions, inv_freq, scale, interleaved)

"""Root mean square normalisation."""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu


def rms_norm(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    """x / rms(x) * weight over the last axis, in x's dtype. weight is [W]."""
    assert weight.shape == x.shape[-1:]
    match backend():
        case "cpu":
            return cpu.rms_norm(x, weight, eps)
        case "metal":
            return mx.fast.rms_norm(x, weight, eps)
        case _:
            return reference.rms_norm(x, weight, eps)


def add_rms_norm(
    x: mx.array, residual: mx.array, weight: mx.array, eps: float
) -> tuple[mx.array, mx.array]:
    """(x + residual, its rms_norm): the two things the next sublayer needs."""
    total = x + residual
    return total, rms_norm(total, weight, eps)

"""Gated activations of feed-forward layers."""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu
from metal_kernels.metal import pointwise


def swiglu(gate: mx.array, up: mx.array) -> mx.array:
    """silu(gate) * up, in gate's dtype."""
    assert gate.shape == up.shape
    match backend():
        case "cpu":
            return cpu.swiglu(gate, up)
        case "metal":
            return pointwise.swiglu(gate, up)
        case _:
            return reference.swiglu(gate, up)


def geglu(gate: mx.array, up: mx.array) -> mx.array:
    """gelu(gate) * up with the tanh form of gelu, in gate's dtype."""
    assert gate.shape == up.shape
    match backend():
        case "cpu":
            return cpu.geglu(gate, up)
        case "metal":
            return pointwise.geglu(gate, up)
        case _:
            return reference.geglu(gate, up)

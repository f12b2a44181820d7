"""Gated activations of feed-forward layers."""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu


def swiglu(gate: mx.array, up: mx.array) -> mx.array:
    """silu(gate) * up, in gate's dtype."""
    assert gate.shape == up.shape
    if backend() == "cpu":
        return cpu.swiglu(gate, up)
    return reference.swiglu(gate, up)


def geglu(gate: mx.array, up: mx.array) -> mx.array:
    """gelu(gate) * up with the tanh form of gelu, in gate's dtype."""
    assert gate.shape == up.shape
    if backend() == "cpu":
        return cpu.geglu(gate, up)
    return reference.geglu(gate, up)

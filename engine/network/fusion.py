"""Swaps the zoo's small layers for single ops of ours, by structure, for inference only.

On the CPU, MLX runs each of these as a chain of scalar ops; ours are one vectorised op each. They
have no gradients, so a network that is trained is left as it is.
"""

import sys

import mlx.core as mx
import mlx.nn as nn

from engine.network.weights import find_module
from metal_kernels.rms_norm import rms_norm
from metal_kernels.rope import rope
from metal_kernels.swiglu import swiglu


class RMSNorm(nn.Module):
    """Root mean square norm over the last axis."""

    def __init__(self, weight: mx.array, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.eps = eps

    def __call__(self, x: mx.array) -> mx.array:
        return rms_norm(x, self.weight, self.eps)


class RoPE(nn.Module):
    """Rotary embedding of [T, H, 1, D] by one position a row."""

    def __init__(self, inv_freq: mx.array, scale: float, *, interleaved: bool) -> None:
        super().__init__()
        self._inv_freq = inv_freq
        self._scale = scale
        self._interleaved = interleaved

    def __call__(self, x: mx.array, offset: mx.array) -> mx.array:
        turned = rope(
            x[:, :, 0], offset, self._inv_freq, scale=self._scale, interleaved=self._interleaved
        )
        return turned[:, :, None]


class GatedMLP(nn.Module):
    """`down(silu(gate(x)) * up(x))`."""

    def __init__(self, gate: nn.Module, up: nn.Module, down: nn.Module) -> None:
        super().__init__()
        self.gate_proj = gate
        self.up_proj = up
        self.down_proj = down

    def __call__(self, x: mx.array) -> mx.array:
        result: mx.array = self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))
        return result


def fuse(network: nn.Module) -> None:
    """Replace every layer that one of our ops computes whole."""
    for path, module in list(network.named_modules()):
        fused = _fused(module)
        if fused is not None:
            parent, _, name = path.rpartition(".")
            find_module(network, parent)[name] = fused
    mx.eval(network.parameters())


def _fused(module: nn.Module) -> nn.Module | None:
    match type(module).__name__:
        case "RMSNorm" if type(module) is nn.RMSNorm:
            return RMSNorm(module.weight, module.eps)
        case "RoPE" if type(module) is nn.RoPE:
            exponents = mx.arange(0, module.dims, 2, dtype=mx.float32) / module.dims
            inv_freq = module.scale * mx.power(module.base, -exponents)
            return RoPE(inv_freq, 1.0, interleaved=module.traditional)
        case "Llama3RoPE":
            return RoPE(1 / module._freqs, 1.0, interleaved=module.traditional)
        case "YarnRoPE":
            return RoPE(1 / module._freqs, module.mscale, interleaved=module.traditional)
        case "SuScaledRoPE":
            return RoPE(1 / module._freqs, module._scale, interleaved=False)
        case "MLP" if _is_gated_by_silu(module):
            return GatedMLP(module.gate_proj, module.up_proj, module.down_proj)
    return None


def _is_gated_by_silu(module: nn.Module) -> bool:
    """The three projections and no more, in a family whose file names the zoo's `swiglu`."""
    family = sys.modules[type(module).__module__]
    projections = {"gate_proj", "up_proj", "down_proj"}
    return set(module.children()) == projections and hasattr(family, "swiglu")

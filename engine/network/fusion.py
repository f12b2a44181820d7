"""Swaps the zoo's small layers for single ops of ours, by structure, for inference only.

On the CPU, MLX runs each of these as a chain of scalar ops; ours are one vectorised op each. On
Metal, layers of the same input share a launch. None of them has gradients, so a network that is
trained is left as it is.
"""

import sys

import mlx.core as mx
import mlx.nn as nn

from engine.network.layers import JointLinear, JointProducts, QuantizedLinear
from engine.network.placing import put_module
from engine.network.rotation import Rotation, Turned, remember
from engine.network.sparse_mlp import fuse_experts
from metal_kernels.joint_matmul import can_join
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
        self._rotation = Rotation(inv_freq, scale, interleaved)

    def __call__(self, x: mx.array, offset: mx.array) -> mx.array:
        inv_freq, scale, interleaved = self._rotation
        turned = rope(x[:, :, 0], offset, inv_freq, scale=scale, interleaved=interleaved)
        turned = turned[:, :, None]
        remember(turned, Turned(x, offset, self._rotation))
        return turned


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


def fuse(network: nn.Module, *, is_paged: bool = True) -> None:
    """Replace every layer that one of our ops computes whole.

    Our rotary embedding turns one token a row, so it is for paged networks alone.
    """
    fuse_experts(network)
    for path, module in list(network.named_modules()):
        fused = _fused(module)
        if fused is not None and (is_paged or not isinstance(fused, RoPE)):
            put_module(network, path, fused)
    for module in list(network.modules()):
        for names in SIBLINGS:
            _join(module, names)
    mx.eval(network.parameters())


SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that the zoo's families apply to the same input."""


def _join(module: nn.Module, names: tuple[str, ...]) -> None:
    """Let these layers of a module share a launch, if it has them and they can."""
    layers = [module.get(name) for name in names]
    plain = [layer for layer in layers if type(layer) is QuantizedLinear]
    if len(plain) < len(names) or not can_join([layer.matrix for layer in plain]):
        return
    products = JointProducts([layer.matrix for layer in plain])
    for index, (name, layer) in enumerate(zip(names, plain, strict=True)):
        module[name] = JointLinear(layer, products, index)


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
        case "DeepseekV2YarnRotaryEmbedding":
            return RoPE(1 / module._freqs, module.mscale, interleaved=True)
        case "MLP" | "DeepseekV2MLP" | "DeepseekV3MLP" if _is_gated_by_silu(module):
            return GatedMLP(module.gate_proj, module.up_proj, module.down_proj)
    return None


def _is_gated_by_silu(module: nn.Module) -> bool:
    """The three projections and no more, in a family whose file names the zoo's `swiglu`."""
    family = sys.modules[type(module).__module__]
    projections = {"gate_proj", "up_proj", "down_proj"}
    return set(module.children()) == projections and hasattr(family, "swiglu")

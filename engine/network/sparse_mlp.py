"""The zoo's mixtures of experts as a router, a choice and one op over all experts.

Families differ in how a router's logits become weights; `Routing` says it for each of them. What is
not known here keeps its family's own code around our stacked layers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.network.layers import QuantizedLinear
from engine.network.placing import put_module
from engine.network.stacked_layers import QuantizedSwitchLinear
from metal_kernels import quantized
from metal_kernels.experts import ExpertWeights, expert_mlp, route
from metal_kernels.routing import Routing


class Parts(NamedTuple):
    """What a family's block is made of."""

    router: nn.Module
    experts: Any
    """mlx-lm's SwitchGLU."""
    routing: Routing
    choice_bias: mx.array | None = None
    shared: nn.Module | None = None
    shared_gate: nn.Module | None = None


class SparseMLP(nn.Module):
    """A weighted sum of some experts for each row, and of one that all rows share."""

    def __init__(self, parts: Parts, experts: ExpertWeights) -> None:
        super().__init__()
        self.router = parts.router
        if parts.shared is not None:
            self.shared = parts.shared
        if parts.shared_gate is not None:
            self.shared_gate = parts.shared_gate
        self._routing = parts.routing
        self._choice_bias = parts.choice_bias
        self._experts = experts

    def __call__(self, x: mx.array) -> mx.array:
        rows = x.reshape(-1, x.shape[-1])
        ids, weights = route(self.router(rows), self._routing, self._choice_bias)
        y = expert_mlp(rows, ids, weights, self._experts)
        if "shared" in self:
            shared = self.shared(rows)
            y = y + (
                mx.sigmoid(self.shared_gate(rows)) * shared if "shared_gate" in self else shared
            )
        return y.reshape(x.shape)


class ExpertGLU(nn.Module):
    """mlx-lm's SwitchGLU without its sorting of rows, which our product does itself."""

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = own.gate_proj, own.up_proj, own.down_proj
        self.activation = own.activation

    def __call__(self, x: mx.array, indices: mx.array) -> mx.array:
        """x [..., K] and indices [..., J] to [..., J, N]."""
        rows, ids = x.reshape(-1, x.shape[-1]), indices.flatten()
        up, gate = self.up_proj.rows(rows, ids), self.gate_proj.rows(rows, ids)
        y = self.down_proj.rows(self.activation(up, gate), ids)
        return cast(mx.array, y.reshape(*indices.shape, y.shape[-1]))


def fuse_experts(network: nn.Module) -> None:
    """Replace what is known here; for inference only."""
    for path, module in list(network.named_modules()):
        fused = _fused(module)
        if fused is not None:
            put_module(network, path, fused)
    for path, module in list(network.named_modules()):
        if type(module).__name__ == "SwitchGLU" and _is_ours(module):
            put_module(network, path, ExpertGLU(module))


def _fused(module: nn.Module) -> SparseMLP | None:
    family = type(module).__module__.rpartition(".")[2]
    take_apart = _FAMILIES.get(f"{family}.{type(module).__name__}")
    if take_apart is None:
        return None
    parts = take_apart(module)
    activation = type(parts.experts.activation).__name__
    if activation not in ("SwiGLU", "SwigluOAI") or not _is_ours(parts.experts):
        return None
    return SparseMLP(parts, _expert_weights(parts.experts))


def _is_ours(experts: Any) -> bool:
    layers = (experts.gate_proj, experts.up_proj, experts.down_proj)
    return all(type(layer) is QuantizedSwitchLinear for layer in layers)


def _expert_weights(experts: Any) -> ExpertWeights:
    gate, up, down = experts.gate_proj, experts.up_proj, experts.down_proj
    is_clamped = type(experts.activation).__name__ == "SwigluOAI"
    return ExpertWeights(
        gate.stack,
        up.stack,
        down.stack,
        gate.get("bias"),
        up.get("bias"),
        down.get("bias"),
        alpha=experts.activation._alpha if is_clamped else 0.0,
        limit=experts.activation._limit if is_clamped else 0.0,
    )


def _softmax_of_chosen(block: Any) -> Parts:
    routing = Routing(block.num_experts_per_tok, normalised=True)
    if "router" in block:
        return Parts(block.router, block.experts, routing)
    return Parts(block.gate, block.switch_mlp, routing)


def _granite(block: Any) -> Parts:
    routing = Routing(block.router.top_k, normalised=True)
    return Parts(block.router.layer, block.switch_mlp, routing)


def _softmax_of_all(block: Any) -> Parts:
    routing = Routing(block.top_k, normalised=bool(block.norm_topk_prob))
    return Parts(block.gate, block.switch_mlp, routing)


def _qwen2(block: Any) -> Parts:
    shared, gate = block.shared_expert, block.shared_expert_gate
    return Parts(block.gate, block.switch_mlp, Routing(block.top_k), None, shared, gate)


def _deepseek_v2(block: Any) -> Parts:
    gate = block.gate
    is_grouped = gate.topk_method == "group_limited_greedy"
    routing = Routing(
        gate.top_k,
        scale=gate.routed_scaling_factor,
        num_groups=gate.n_group if is_grouped else 1,
        num_chosen_groups=gate.topk_group if is_grouped else 1,
    )
    return Parts(_linear(gate.weight), block.switch_mlp, routing, None, block.get("shared_experts"))


def _deepseek_v3(block: Any) -> Parts:
    gate = block.gate
    routing = Routing(
        gate.top_k,
        sigmoid=True,
        normalised=gate.top_k > 1 and gate.norm_topk_prob,
        scale=gate.routed_scaling_factor,
        num_groups=gate.n_group,
        num_chosen_groups=gate.topk_group,
        group_by_two=True,
    )
    bias, shared = gate.e_score_correction_bias, block.get("shared_experts")
    return Parts(_linear(gate.weight), block.switch_mlp, routing, bias, shared)


def _linear(weight: mx.array) -> QuantizedLinear:
    """A router that its family keeps as a bare matrix [E, K]."""
    wide = np.array(weight.astype(mx.float32))
    return QuantizedLinear(quantized.load_blocks("F32", wide.view(np.uint8), wide.shape[1]))


def _ernie(block: Any) -> Parts:
    routing = Routing(block.k, normalised=True)
    bias, shared = block.get("e_score_correction_bias"), block.get("shared_experts")
    return Parts(block.gate, block.switch_mlp, routing, bias, shared)


def _hunyuan(block: Any) -> Parts:
    routing = Routing(block.top_k, normalised=getattr(block, "_norm_topk_prob", False))
    return Parts(block.gate.wg, block.switch_mlp, routing, None, block.get("shared_mlp"))


def _qwen3_next(block: Any) -> Parts:
    routing = Routing(block.top_k, normalised=bool(block.norm_topk_prob))
    shared, gate = block.shared_expert, block.shared_expert_gate
    return Parts(block.gate, block.switch_mlp, routing, None, shared, gate)


_FAMILIES: dict[str, Callable[[Any], Parts]] = {
    "deepseek_v2.DeepseekV2MoE": _deepseek_v2,
    "deepseek_v3.DeepseekV3MoE": _deepseek_v3,
    "ernie4_5_moe.Ernie4_5_MoeMLP": _ernie,
    "glm4_moe.MoE": _deepseek_v3,
    "glm4_moe_lite.Glm4MoeLiteMoE": _deepseek_v3,
    "gpt_oss.MLPBlock": _softmax_of_chosen,
    "granitemoe.GraniteMoeMoE": _granite,
    "hunyuan.MoeBlock": _hunyuan,
    "mixtral.MixtralSparseMoeBlock": _softmax_of_chosen,
    "olmoe.OlmoeSparseMoeBlock": _softmax_of_all,
    "qwen2_moe.Qwen2MoeSparseMoeBlock": _qwen2,
    "qwen3_next.Qwen3NextSparseMoeBlock": _qwen3_next,
    "qwen3_moe.Qwen3MoeSparseMoeBlock": _softmax_of_all,
}

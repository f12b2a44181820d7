"""Mixtures of experts: which experts a token goes to, and what they make of it."""

from dataclasses import dataclass

import mlx.core as mx

from metal_kernels import grouped, reference
from metal_kernels.backend import backend, cpu
from metal_kernels.grouped import MatrixStack
from metal_kernels.routing import Routing
from metal_kernels.swiglu import swiglu


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """The feed-forward layers of E experts: gate and up [F, K], down [N, F], biases all or none."""

    gate: MatrixStack
    up: MatrixStack
    down: MatrixStack
    gate_bias: mx.array | None = None
    """[E, F]"""
    up_bias: mx.array | None = None
    down_bias: mx.array | None = None
    """[E, N]"""
    alpha: float = 0.0
    limit: float = 0.0
    """With alpha 0 the hidden layer is silu(gate) * up; else it is gpt-oss's
    (clip(up, -limit, limit) + 1) * g * sigmoid(alpha * g), g = min(gate, limit)."""


def route(
    logits: mx.array, routing: Routing, bias: mx.array | None = None
) -> tuple[mx.array, mx.array]:
    """The chosen experts int32 [T, chosen] of logits [T, E], and their weights, float32.

    `bias` [E] is added to the scores where experts are chosen, not to their weights.
    """
    if backend() == "cpu":
        return cpu.route(
            logits,
            bias,
            routing.num_chosen,
            routing.sigmoid,
            routing.normalised,
            routing.scale,
            routing.num_groups,
            routing.num_chosen_groups,
            routing.group_by_two,
        )
    return reference.route(logits, routing, bias)


def expert_mlp(x: mx.array, ids: mx.array, weights: mx.array, mlp: ExpertWeights) -> mx.array:
    """Each token's weighted sum over its experts: x [T, K], ids and weights [T, J]; [T, N].

    On the CPU one op, in which a row's result depends on nothing but the row.
    """
    if backend() == "cpu":
        return cpu.expert_mlp(
            x,
            ids,
            weights,
            mlp.gate.storage,
            mlp.up.storage,
            mlp.down.storage,
            mlp.gate_bias,
            mlp.up_bias,
            mlp.down_bias,
            mlp.alpha,
            mlp.limit,
        )
    flat = ids.flatten()
    gate, up = grouped.matmul(x, mlp.gate, flat), grouped.matmul(x, mlp.up, flat)
    if mlp.gate_bias is not None and mlp.up_bias is not None:
        gate, up = gate + mlp.gate_bias[flat], up + mlp.up_bias[flat]
    down = grouped.matmul(activate(gate, up, mlp), mlp.down, flat)
    if mlp.down_bias is not None:
        down = down + mlp.down_bias[flat]
    parts = down.reshape(*ids.shape, down.shape[-1]) * weights[..., None].astype(down.dtype)
    return parts.sum(axis=1).astype(x.dtype)


def activate(gate: mx.array, up: mx.array, mlp: ExpertWeights) -> mx.array:
    """The hidden layer of rows."""
    if mlp.alpha == 0:
        return swiglu(gate, up)
    capped = mx.minimum(gate, mlp.limit)
    bounded = mx.clip(up, -mlp.limit, mlp.limit)
    hidden: mx.array = (bounded + 1) * capped * mx.sigmoid(mlp.alpha * capped)
    return hidden.astype(gate.dtype)

"""Launches of a decode step, from MLX's graph of our network on the Metal path; needs no GPU."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any, cast
from unittest.mock import patch

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.batch import Batch
from engine.kv_cache import KVCache, LayerShape
from engine.network.fusion import RoPE, fuse
from engine.network.placing import place_matrix, place_stack
from engine.network.stacked_layers import is_stacked
from engine.network.zoo import build_network
from metal_kernels import (
    experts,
    grouped,
    joint_matmul,
    kv_cache,
    paged_attention,
    quantized,
    reference,
    rms_norm,
    rope,
    swiglu,
)
from metal_kernels.metal import pointwise
from scripts.roofline_parts.models import Model
from tests.metal_shaders.tracing import graph

FREE = {
    "AsStrided", "Broadcast", "BroadcastAxes", "Copy", "Depends", "ExpandDims", "Flatten", "Full",
    "Load", "NumberOfElements", "Reshape", "Slice", "Split", "Squeeze", "StopGradient",
    "Transpose", "Unflatten", "View",
}  # fmt: skip
"""Operations that only name memory anew, or are done before the step."""

_ASKING = [
    module
    for module in (
        experts, grouped, joint_matmul, kv_cache, paged_attention, quantized, rms_norm, rope,
        swiglu,
    )
    if hasattr(module, "backend")
]  # fmt: skip
"""Modules that ask which back end runs."""

_HIDDEN, _HEADS, _KV_HEADS, _HEAD_SIZE, _BLOCK, _FORMAT = 512, 16, 8, 32, 16, "Q8_0"


def launches_per_token(model: Model, context: int) -> int:
    """A layer's launches times the layers, and those around them.

    Traced with one and two layers of the architecture at a small size, which their number does not
    depend on.
    """
    one, two = (len(launched(model, num_layers, context)) for num_layers in (1, 2))
    return one + (two - one) * (model.num_layers - 1)


def launched(model: Model, num_layers: int, context: int) -> list[str]:
    """Names of the operations that need a kernel, of a model with so many layers."""
    with ExitStack() as stack:
        for module in _ASKING:
            stack.enter_context(patch.object(module, "backend", lambda: "metal"))
        # Away from Metal these are traced as what they are made of; there each is one kernel.
        stack.enter_context(patch.object(mx.fast, "rms_norm", _one_launch))
        stack.enter_context(patch.object(pointwise, "swiglu", _one_launch))
        step, arrays = _make_step(_make_network(model, num_layers), context)
        return [operation.name for operation in graph(step, *arrays) if operation.name not in FREE]


def _one_launch(x: mx.array, *_: Any) -> mx.array:
    y: mx.array = _stand_in()(
        inputs=[x], output_shapes=[x.shape], output_dtypes=[x.dtype], grid=(1, 1, 1),
        threadgroup=(1, 1, 1),
    )[0]  # fmt: skip
    return y


@cache
def _stand_in() -> Callable[..., Any]:
    return cast(
        Callable[..., Any],
        mx.fast.metal_kernel(
            name="stand_in", input_names=["x"], output_names=["y"], source="y[0] = x[0];"
        ),
    )


def _config(model: Model, num_layers: int) -> Mapping[str, Any]:
    config: dict[str, Any] = {
        "model_type": {"qwen3moe": "qwen3_moe"}.get(model.architecture, model.architecture),
        "hidden_size": _HIDDEN,
        "num_hidden_layers": num_layers,
        "intermediate_size": 2 * _HIDDEN,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KV_HEADS,
        "head_dim": _HEAD_SIZE,
        "rms_norm_eps": 1e-5,
        "vocab_size": 256,
        "rope_theta": 10000.0,
        "max_position_embeddings": 1 << 17,
        "tie_word_embeddings": model.tied,
    }
    if model.num_experts:
        config |= {
            "num_experts": 16,
            "num_experts_per_tok": model.experts_per_token,
            "moe_intermediate_size": _HIDDEN,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": True,
        }
    return config


def _make_network(model: Model, num_layers: int) -> Any:
    network: Any = build_network(_config(model, num_layers))
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            num_rows, num_columns = module.weight.shape
            blocks = np.zeros((num_rows, reference.row_bytes(_FORMAT, num_columns)), np.uint8)
            place_matrix(network, path, quantized.load_blocks(_FORMAT, blocks, num_columns))
        elif is_stacked(module):
            *sizes, num_columns = module.weight.shape
            blocks = np.zeros((*sizes, reference.row_bytes(_FORMAT, num_columns)), np.uint8)
            place_stack(network, path, grouped.load_blocks(_FORMAT, blocks, num_columns))
    fuse(network)
    network.eval()
    mx.eval([m._rotation.inv_freq for m in network.modules() if isinstance(m, RoPE)])
    return network


def _make_step(network: Any, context: int) -> tuple[Callable[..., mx.array], list[mx.array]]:
    num_blocks = -(-context // _BLOCK)
    shapes = [LayerShape(_KV_HEADS, _HEAD_SIZE, _HEAD_SIZE)] * len(network.layers)
    cache = KVCache(
        shapes, [None] * len(shapes), num_blocks=num_blocks, block_size=_BLOCK, dtype=mx.float16
    )
    batch = Batch(
        ids=mx.array([5], mx.int32),
        positions=mx.array([context - 1], mx.int32),
        slots=mx.array([context - 1], mx.int32),
        block_tables=mx.arange(num_blocks, dtype=mx.int32)[None],
        query_starts=mx.array([0, 1], mx.int32),
        context_lens=mx.array([context], mx.int32),
        sample_rows=mx.array([0], mx.int32),
    )
    cache.begin_step(batch)

    def step(ids: mx.array, *pools: mx.array) -> mx.array:
        for layer, pool in zip(cache.layers, pools, strict=True):
            layer.pool = pool
        logits: mx.array = network(ids, cache=cache.layers)
        return logits

    return step, [batch.ids[:, None], *cache.pools]

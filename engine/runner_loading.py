"""Puts a runner around a network: paged where its layers allow, else with state by sequence."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import mlx.nn as nn

from engine.kv_cache import KVCache, LayerShape, layer_windows, probe_layers
from engine.memory import BLOCK_SIZE, num_blocks, plan_model_memory
from engine.model_runner import ModelRunner
from engine.network.fusion import fuse
from engine.network.precision import KV_DTYPES, activation_dtype
from engine.network.zoo import make_states
from engine.state_runner import StateRunner, measure_token_bytes
from models.errors import Unsupported
from models.memory_plan import LOGIT_ROWS, KvType, MemoryNeeds, MemoryPlan, row_bytes


def make_runner(
    network: nn.Module,
    config: Mapping[str, Any],
    *,
    weight_bytes: int,
    draft_token_bytes: int,
    context_tokens: int,
    is_context_asked: bool,
    kv_cache_bytes: int | None,
    kv_type: KvType | None,
) -> tuple[ModelRunner | StateRunner, MemoryPlan]:
    """The runner and what it may use; the network's small layers are fused with it.

    Raises:
        Busy: there is not enough memory.
    """
    try:
        shapes, windows = probe_layers(network), layer_windows(network)
    except Unsupported:
        shapes, windows = [], []
    fuse(network, is_paged=bool(shapes))
    network.eval()
    if shapes:
        token_bytes = _token_bytes(shapes, "f16")
    else:
        token_bytes = measure_token_bytes(network, partial(make_states, network))
    width = int(config.get("hidden_size") or 4096)
    feed_forward_width = int(config.get("intermediate_size") or 4 * width)
    needs = MemoryNeeds(
        weight_bytes=weight_bytes,
        token_bytes=token_bytes + draft_token_bytes,
        small_token_bytes=_small_token_bytes(shapes, draft_token_bytes),
        row_bytes=row_bytes(width, feed_forward_width, activation_dtype().size),
        logit_bytes=LOGIT_ROWS * int(config.get("vocab_size") or 131_072) * 4,
        context_tokens=-(-context_tokens // BLOCK_SIZE) * BLOCK_SIZE,
        is_context_asked=is_context_asked,
        kv_type=kv_type,
    )
    plan = plan_model_memory(needs, kv_cache_bytes=kv_cache_bytes)
    if not shapes:
        return StateRunner(network, partial(make_states, network)), plan
    cache = KVCache(
        shapes,
        windows,
        num_blocks=num_blocks(plan),
        block_size=BLOCK_SIZE,
        dtype=KV_DTYPES[plan.kv_type],
    )
    return ModelRunner(network, cache), plan


def _token_bytes(shapes: list[LayerShape], kv_type: KvType) -> int:
    return sum(shape.token_bytes(KV_DTYPES[kv_type]) for shape in shapes)


def _small_token_bytes(shapes: list[LayerShape], draft_token_bytes: int) -> int:
    """In 8 bits, but for a draft's; 0 where layers keep something else or sizes do not allow it."""
    if not shapes or not all(shape.takes_int8 for shape in shapes):
        return 0
    return _token_bytes(shapes, "q8_0") + draft_token_bytes

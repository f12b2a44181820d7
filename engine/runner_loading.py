"""Puts a runner around a network: paged where its layers allow, else with state by sequence."""

from functools import partial

import mlx.nn as nn

from engine.kv_cache import KVCache, layer_windows, probe_layers
from engine.memory import BLOCK_SIZE, num_pool_blocks
from engine.model_runner import ModelRunner
from engine.network.fusion import fuse
from engine.network.precision import CACHE_DTYPE
from engine.network.zoo import make_states
from engine.state_runner import StateRunner, measure_token_bytes
from models.errors import Unsupported


def make_runner(
    network: nn.Module,
    *,
    weight_bytes: int,
    draft_token_bytes: int,
    context_tokens: int,
    kv_cache_bytes: int | None,
) -> tuple[ModelRunner | StateRunner, int]:
    """The runner and the number of blocks; the network's small layers are fused with it."""
    try:
        shapes, windows = probe_layers(network), layer_windows(network)
    except Unsupported:
        shapes, windows = [], []
    fuse(network, is_paged=bool(shapes))
    network.eval()
    if shapes:
        token_bytes = sum(shape.token_bytes(CACHE_DTYPE) for shape in shapes)
    else:
        token_bytes = measure_token_bytes(network, partial(make_states, network))
    num_blocks = num_pool_blocks(
        weight_bytes=weight_bytes,
        token_bytes=token_bytes + draft_token_bytes,
        context_tokens=context_tokens,
        kv_cache_bytes=kv_cache_bytes,
    )
    if not shapes:
        return StateRunner(network, partial(make_states, network)), num_blocks
    cache = KVCache(
        shapes, windows, num_blocks=num_blocks, block_size=BLOCK_SIZE, dtype=CACHE_DTYPE
    )
    return ModelRunner(network, cache), num_blocks

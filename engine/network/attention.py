"""The attention call of every network: paged where the cache is, MLX's own elsewhere."""

import mlx.core as mx

from engine.kv_cache import LayerCache, ProbeCache
from models.errors import Unsupported


def attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    cache: object,
    scale: float,
    mask: mx.array | str | None,
    sinks: mx.array | None = None,
) -> mx.array:
    """Takes the place of mlx-lm's `scaled_dot_product_attention`."""
    if isinstance(cache, LayerCache):
        if isinstance(mask, mx.array):
            raise Unsupported("attention with a mask of its own cannot be paged")
        if isinstance(cache, ProbeCache):
            cache.check_fetched(keys, values)
        return cache.attend(queries, scale, sinks)
    return mx.fast.scaled_dot_product_attention(
        queries, keys, values, scale=scale, mask=mask, sinks=sinks
    )

"""Attention of many rows over contiguous keys and values, by MLX itself where it can."""

import mlx.core as mx


def dense_attention(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    scale: float,
    window: int | None,
    sinks: mx.array | None,
    soft_cap: float | None,
) -> mx.array:
    """Rows q [n, H, D], the last n tokens of k [Hkv, L, D] and v [Hkv, L, DV]; [n, H, DV]."""
    num_rows, length = q.shape[0], k.shape[1]
    queries = q.swapaxes(0, 1)[None]
    mask: mx.array | str = "causal"
    if window is not None or soft_cap is not None:
        at = mx.arange(length - num_rows, length)[:, None]
        keys_at = mx.arange(length)[None, :]
        mask = (keys_at <= at) & (keys_at > at - (window or length))
    if soft_cap is None:
        sink_logits = None if sinks is None else sinks.astype(q.dtype)
        out = mx.fast.scaled_dot_product_attention(
            queries, k[None], v[None], scale=scale, mask=mask, sinks=sink_logits
        )
    else:
        assert sinks is None, "no model has both"
        assert isinstance(mask, mx.array)
        out = _capped_attention(queries, k[None], v[None], scale, mask, soft_cap)
    return out[0].swapaxes(0, 1)


def _capped_attention(
    q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array, soft_cap: float
) -> mx.array:
    num_kv_heads = k.shape[1]
    grouped = q.reshape(1, num_kv_heads, -1, *q.shape[2:])
    scores = (grouped * scale) @ k[:, :, None].swapaxes(-1, -2)
    scores = mx.tanh(scores.astype(mx.float32) / soft_cap) * soft_cap
    weights = mx.softmax(mx.where(mask, scores, -mx.inf), axis=-1)
    return (weights.astype(v.dtype) @ v[:, :, None]).reshape(*q.shape[:3], v.shape[-1])

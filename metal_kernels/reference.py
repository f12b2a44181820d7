"""The definition of every op in plain array maths. Slow; what the kernels are compared with."""

from typing import Any

import gguf
import mlx.core as mx
import numpy as np
from gguf.quants import dequantize as gguf_dequantize

from metal_kernels.int8_rows import pack_rows, unpack_rows
from metal_kernels.metal.kv_rows import INT8, value_size
from metal_kernels.routing import Routing

Bytes = np.ndarray[Any, Any]

_VIEWS: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16}


def row_bytes(quantization: str, num_columns: int) -> int:
    """Bytes of a GGUF row. ValueError if the columns do not fill whole blocks."""
    block_columns, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[quantization]]
    if num_columns % block_columns:
        raise ValueError(
            f"{quantization} needs a multiple of {block_columns} columns, not {num_columns}"
        )
    return int(num_columns // block_columns * block_bytes)


def can_dequantize(quantization: str) -> bool:
    """Whether `dequantize_blocks` knows the format."""
    kind = gguf.GGMLQuantizationType.__members__.get(quantization)
    return quantization in _VIEWS or kind in gguf.quants._type_traits


def dequantize_blocks(quantization: str, blocks: Bytes, num_columns: int) -> Bytes:
    """GGUF blocks uint8 [N, row_bytes] as float32 [N, K]."""
    kind = gguf.GGMLQuantizationType[quantization]
    data = np.ascontiguousarray(blocks).view(_VIEWS.get(quantization, np.uint8))
    values: Bytes = gguf_dequantize(data, kind).astype(np.float32)
    return values.reshape(blocks.shape[0], num_columns)


def grouped_matmul(x: mx.array, weights: mx.array, ids: mx.array) -> mx.array:
    """See `grouped.matmul`; weights [E, N, K], one row after another."""
    repeats = ids.size // x.shape[0]
    chosen = np.array(ids).tolist()
    rows = [x[r // repeats].astype(mx.float32) @ weights[e].T for r, e in enumerate(chosen)]
    return mx.stack(rows).astype(x.dtype)


def route(logits: mx.array, routing: Routing, bias: mx.array | None) -> tuple[mx.array, mx.array]:
    """See `experts.route`; MLX's order of the chosen ones."""
    wide = logits.astype(mx.float32)
    scores = mx.sigmoid(wide) if routing.sigmoid else mx.softmax(wide, axis=-1, precise=True)
    choice = scores if bias is None else scores + bias
    if routing.num_groups > 1:
        choice = _best_groups(choice, routing)
    ids = mx.argsort(-choice, axis=-1)[:, : routing.num_chosen].astype(mx.int32)
    weights = mx.take_along_axis(scores, ids, axis=-1)
    if routing.normalised:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return ids, weights * routing.scale


def _best_groups(choice: mx.array, routing: Routing) -> mx.array:
    groups = choice.reshape(choice.shape[0], routing.num_groups, -1)
    best = mx.sort(groups, axis=-1)[..., -2 if routing.group_by_two else -1 :].sum(axis=-1)
    order = mx.argsort(mx.argsort(-best, axis=-1), axis=-1)
    kept = order < routing.num_chosen_groups
    return mx.where(kept[..., None], groups, 0.0).reshape(choice.shape)


def rms_norm(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    """x / rms(x) * weight over the last axis, computed in float32, in x's dtype."""
    wide = x.astype(mx.float32)
    scale = mx.rsqrt(mx.mean(wide * wide, axis=-1, keepdims=True) + eps)
    return (wide * scale * weight.astype(mx.float32)).astype(x.dtype)


def swiglu(gate: mx.array, up: mx.array) -> mx.array:
    """silu(gate) * up, computed in float32, in gate's dtype."""
    wide = gate.astype(mx.float32)
    return (wide * mx.sigmoid(wide) * up.astype(mx.float32)).astype(gate.dtype)


def geglu(gate: mx.array, up: mx.array) -> mx.array:
    """gelu(gate) * up with the tanh form of gelu, computed in float32, in gate's dtype."""
    wide = gate.astype(mx.float32)
    inner = 0.7978845608028654 * (wide + 0.044715 * wide * wide * wide)
    return (0.5 * wide * (1 + mx.tanh(inner)) * up.astype(mx.float32)).astype(gate.dtype)


def rope(
    x: mx.array, positions: mx.array, inv_freq: mx.array, scale: float, interleaved: bool
) -> mx.array:
    """See `rope.rope`."""
    half = inv_freq.size
    angles = positions.astype(mx.float32)[:, None, None] * inv_freq.astype(mx.float32)
    cos, sin = mx.cos(angles) * scale, mx.sin(angles) * scale
    wide = x.astype(mx.float32)
    turned, rest = wide[..., : 2 * half], wide[..., 2 * half :]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
        out = mx.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(turned.shape)
    else:
        a, b = turned[..., :half], turned[..., half:]
        out = mx.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return mx.concatenate([out, rest], axis=-1).astype(x.dtype)


def kv_write(pool: mx.array, slots: mx.array, k: mx.array, v: mx.array) -> mx.array:
    """See `kv_cache.kv_write`; this one may copy the pool."""
    rows = np.array(slots)
    kept = np.flatnonzero(rows >= 0)
    if not kept.size:
        return pool
    block_size = pool.shape[2]
    if pool.dtype == INT8:
        values = pack_rows(k, v)[mx.array(kept)]
    else:
        values = mx.concatenate([k, v], axis=-1).astype(pool.dtype)[mx.array(kept)]
    block, offset = mx.array(rows[kept] // block_size), mx.array(rows[kept] % block_size)
    heads = mx.arange(pool.shape[1])
    pool[block[:, None], heads[None, :], offset[:, None]] = values
    return pool


def paged_attention(
    q: mx.array,
    pool: mx.array,
    *,
    block_tables: mx.array,
    query_starts: mx.array,
    context_lens: mx.array,
    scale: float,
    window: int | None,
    sinks: mx.array | None,
    soft_cap: float | None,
) -> mx.array:
    """See `paged_attention.paged_attention`."""
    starts = np.array(query_starts)
    outs = []
    for i, context in enumerate(np.array(context_lens).tolist()):
        rows = q[int(starts[i]) : int(starts[i + 1])]
        if not rows.shape[0]:
            continue
        num_blocks = -(-context // pool.shape[2])
        table = block_tables[i, :num_blocks]
        blocks = pool[table]
        if pool.dtype == INT8:
            blocks = unpack_rows(blocks, q.shape[-1])
        # [blocks, heads, offset, D] -> [heads, tokens, D]
        cache = blocks.swapaxes(0, 1).flatten(1, 2)[:, :context].astype(mx.float32)
        key, value = cache[..., : q.shape[-1]], cache[..., q.shape[-1] :]
        outs.append(_attend(rows, key, value, scale, window, sinks, soft_cap))
    if not outs:
        return mx.zeros((0, q.shape[1], value_size(pool, q.shape[-1])), q.dtype)
    return mx.concatenate(outs).astype(q.dtype)


def _attend(
    rows: mx.array,
    key: mx.array,
    value: mx.array,
    scale: float,
    window: int | None,
    sinks: mx.array | None,
    soft_cap: float | None,
) -> mx.array:
    """One sequence: rows [R, H, D] are the last R of the tokens in key and value [Hkv, L, D]."""
    num_rows, num_heads, _ = rows.shape
    num_kv_heads, length, _ = key.shape
    grouped = rows.astype(mx.float32).reshape(num_rows, num_kv_heads, -1, rows.shape[-1])
    scores = mx.einsum("rhgd,hld->hgrl", grouped, key) * scale
    if soft_cap is not None:
        scores = mx.tanh(scores / soft_cap) * soft_cap
    at = mx.arange(length - num_rows, length)[:, None]
    keys_at = mx.arange(length)[None, :]
    seen = keys_at <= at
    if window is not None:
        seen = seen & (keys_at > at - window)
    scores = mx.where(seen, scores, -mx.inf)
    largest = scores.max(axis=-1, keepdims=True)
    if sinks is not None:
        sink = sinks.astype(mx.float32).reshape(num_kv_heads, -1, 1, 1)
        largest = mx.maximum(largest, sink)
    weights = mx.exp(scores - largest)
    total = weights.sum(axis=-1, keepdims=True)
    if sinks is not None:
        total = total + mx.exp(sink - largest)
    out = mx.einsum("hgrl,hld->rhgd", weights / total, value)
    return out.reshape(num_rows, num_heads, -1)

"""Writes keys and values into the pool's own memory, which no MLX operation does reliably."""

from functools import cache

import mlx.core as mx

from metal_kernels.metal import fence, kv_rows
from metal_kernels.metal.kernel import MAX_THREADS, Kernel, parameters


def kv_write(pool: mx.array, slots: mx.array, k: mx.array, v: mx.array) -> mx.array:
    """As `metal_kernels.kv_cache.kv_write`: the same memory, to be read through our kernels only.

    The pool must be evaluated and contiguous, and stay referenced by the caller. An int8 pool (see
    `kv_rows`) keeps k and v as scaled bytes.
    """
    num_tokens, num_heads, key_size = k.shape
    value_size = v.shape[-1]
    block_size = pool.shape[2]
    if pool.dtype == kv_rows.INT8:
        return _write_int8(pool, slots, k, v)
    written = write_kernel()(
        [pool, slots, k, v],
        template=[("P", pool.dtype), ("D", key_size), ("DV", value_size), ("BS", block_size)],
        grid=(key_size + value_size, num_heads, num_tokens),
        threadgroup=(min(key_size + value_size, MAX_THREADS), 1, 1),
        outputs=[((8,), mx.float32)],
    )[0]
    fence.record(written)
    ordered: mx.array = mx.depends(pool, written)
    return ordered


def _write_int8(pool: mx.array, slots: mx.array, k: mx.array, v: mx.array) -> mx.array:
    num_tokens, num_heads, key_size = k.shape
    value_size = v.shape[-1]
    num_groups = (key_size + value_size) // kv_rows.int8_group(key_size, value_size)
    written = write_int8_kernel()(
        [pool, slots, k, v],
        template=[("D", key_size), ("DV", value_size), ("BS", pool.shape[2])],
        grid=(num_groups, num_heads, num_tokens),
        threadgroup=(min(num_groups, MAX_THREADS), 1, 1),
        outputs=[((8,), mx.float32)],
    )[0]
    fence.record(written)
    ordered: mx.array = mx.depends(pool, written)
    return ordered


def rope_kv_write(
    pool: mx.array,
    slots: mx.array,
    q: mx.array,
    k: mx.array,
    v: mx.array,
    positions: mx.array,
    inv_freq: mx.array,
    *,
    scale: float = 1.0,
    interleaved: bool = False,
) -> tuple[mx.array, mx.array]:
    """q [T, H, D] turned, and the pool with turned k and v written: `rope` and `kv_write` in one.

    The options are those of `metal_kernels.rope.rope`.
    """
    assert pool.dtype != kv_rows.INT8, "turn first, then write"
    num_tokens, num_heads, key_size = q.shape
    num_kv_heads, value_size = k.shape[1], v.shape[-1]
    pairs = max(key_size, value_size) // 2
    turned, written = rope_write_kernel()(
        [
            pool,
            slots,
            q,
            k,
            v,
            positions,
            inv_freq,
            parameters(num_heads, num_kv_heads, inv_freq.size),
            parameters(float(scale)),
        ],
        template=[
            ("T", q.dtype),
            ("P", pool.dtype),
            ("D", key_size),
            ("DV", value_size),
            ("BS", pool.shape[2]),
            ("INTERLEAVED", interleaved),
        ],
        grid=(pairs, num_heads + num_kv_heads, num_tokens),
        threadgroup=(min(pairs, MAX_THREADS), 1, 1),
        outputs=[(q.shape, q.dtype), ((8,), mx.float32)],
    )
    fence.record(written)
    ordered: mx.array = mx.depends(pool, written)
    return turned, ordered


@cache
def write_kernel() -> Kernel:
    return Kernel(
        name="kv_write",
        body="kv_write",
        inputs=("pool", "slots", "k", "v"),
        outputs=("fence",),
    )


@cache
def write_int8_kernel() -> Kernel:
    return Kernel(
        name="kv_write_int8",
        body="kv_write_int8",
        inputs=("pool", "slots", "k", "v"),
        outputs=("fence",),
        headers=("unroll", kv_rows.row_header("_int8")),
    )


@cache
def rope_write_kernel() -> Kernel:
    return Kernel(
        name="rope_kv_write",
        body="rope_kv_write",
        inputs=("pool", "slots", "q", "k", "v", "positions", "inv_freq", "sizes", "factors"),
        outputs=("q_out", "fence"),
    )

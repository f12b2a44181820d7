"""Writes keys and values into the pool's own memory, which no MLX operation does reliably."""

from functools import cache

import mlx.core as mx

from metal_kernels.metal import fence
from metal_kernels.metal.kernel import Kernel


def kv_write(pool: mx.array, slots: mx.array, k: mx.array, v: mx.array) -> mx.array:
    """As `metal_kernels.kv_cache.kv_write`: the same memory, to be read through our kernels only.

    The pool must be evaluated and contiguous, and stay referenced by the caller.
    """
    num_tokens, num_heads, key_size = k.shape
    value_size = v.shape[-1]
    block_size = pool.shape[2]
    written = write_kernel()(
        [pool, slots, k, v],
        template=[("P", pool.dtype), ("D", key_size), ("DV", value_size), ("BS", block_size)],
        grid=(key_size + value_size, num_heads, num_tokens),
        threadgroup=(key_size + value_size, 1, 1),
        outputs=[((8,), mx.float32)],
    )[0]
    fence.record(written)
    ordered: mx.array = mx.depends(pool, written)
    return ordered


@cache
def write_kernel() -> Kernel:
    return Kernel(
        name="kv_write",
        body="kv_write",
        inputs=("pool", "slots", "k", "v"),
        outputs=("fence",),
    )

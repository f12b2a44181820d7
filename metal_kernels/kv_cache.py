"""The paged key-value pool of one layer and the write into it.

A pool is one array [num_blocks, num_kv_heads, block_size, head_size_k + head_size_v]: each token's
key and value of one head lie side by side. A slot is block * block_size + offset.
"""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu
from metal_kernels.metal import kv_write as metal_write
from metal_kernels.metal import trust


def make_pool(
    num_blocks: int,
    num_kv_heads: int,
    block_size: int,
    head_size_k: int,
    head_size_v: int,
    dtype: mx.Dtype,
) -> mx.array:
    """An evaluated pool of zeros; the CPU's takes no memory until it is written to.

    The CPU kernels take float16 and float32.
    """
    shape = (num_blocks, num_kv_heads, block_size, head_size_k + head_size_v)
    if backend() == "cpu":
        return cpu.zero_pool(shape, dtype)
    pool = mx.zeros(shape, dtype)
    mx.eval(pool)
    return pool


def kv_write(pool: mx.array, slots: mx.array, k: mx.array, v: mx.array) -> mx.array:
    """Write k [T, Hkv, D] and v [T, Hkv, Dv] to slots int32 [T]; a negative slot is skipped.

    Returns the pool to use from here on. It shares the old pool's memory, which is written in place
    (except by the reference): bind the result and do not read the old array. On Metal only our own
    ops may read the pool before it is evaluated (see `metal.fence`).
    """
    assert k.shape[:2] == v.shape[:2] == (slots.size, pool.shape[1])
    assert k.shape[-1] + v.shape[-1] == pool.shape[-1]
    if backend() == "cpu":
        return cpu.kv_write(pool, slots, k, v)
    if backend() == "metal" and trust.works("kv_write"):
        return metal_write.kv_write(pool, slots, k, v)
    return reference.kv_write(pool, slots, k, v)

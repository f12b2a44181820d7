"""The paged key-value pool of one layer and the write into it.

A pool is one array [num_blocks, num_kv_heads, block_size, head_size_k + head_size_v]: each token's
key and value of one head lie side by side. A slot is block * block_size + offset. A pool of type
uint8 keeps them as scaled bytes (see `int8_rows`).
"""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu
from metal_kernels.int8_rows import pool_row_size
from metal_kernels.metal import kv_write as metal_write
from metal_kernels.metal import trust
from metal_kernels.metal.kv_rows import INT8, kernel_suffix


def make_pool(
    num_blocks: int,
    num_kv_heads: int,
    block_size: int,
    head_size_k: int,
    head_size_v: int,
    dtype: mx.Dtype,
) -> mx.array:
    """An evaluated pool of zeros; the CPU's takes no memory until it is written to.

    The CPU kernels take float16, float32 and scaled bytes.
    """
    row_size = pool_row_size(head_size_k, head_size_v, dtype)
    shape = (num_blocks, num_kv_heads, block_size, row_size)
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
    assert pool_row_size(k.shape[-1], v.shape[-1], pool.dtype) == pool.shape[-1]
    if backend() == "cpu":
        return cpu.kv_write(pool, slots, k, v)
    if backend() == "metal" and trust.works(f"kv_write{kernel_suffix(pool)}"):
        return metal_write.kv_write(pool, slots, k, v)
    return reference.kv_write(pool, slots, k, v)


def writes_with_rope(pool: mx.array) -> bool:
    """Whether `rope_kv_write` may be called."""
    works = backend() == "metal" and trust.works("rope_kv_write")
    return works and pool.dtype != INT8


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
    """`rope` of q and k and `kv_write` of k and v in one launch: turned q, and the pool.

    q [T, H, D], k [T, Hkv, D], v [T, Hkv, Dv]; the rest as those two take it.
    """
    assert writes_with_rope(pool)
    assert k.shape[:2] == v.shape[:2] == (slots.size, pool.shape[1])
    assert k.shape[-1] + v.shape[-1] == pool.shape[-1]
    return metal_write.rope_kv_write(
        pool, slots, q, k, v, positions, inv_freq, scale=scale, interleaved=interleaved
    )

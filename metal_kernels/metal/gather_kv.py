"""Keys and values of one sequence copied out of the pool, for prefill through dense attention."""

from functools import cache

import mlx.core as mx

from metal_kernels.metal import fence, kv_rows
from metal_kernels.metal.kernel import MAX_THREADS, Kernel, parameters


def gather_kv(
    pool: mx.array,
    block_tables: mx.array,
    table_start: int,
    num_tokens: int,
    key_size: int,
    dtype: mx.Dtype,
) -> tuple[mx.array, mx.array]:
    """K [Hkv, L, D] and V [Hkv, L, DV] of the L tokens of one sequence, in `dtype`.

    Its blocks begin at `table_start` of the block tables taken as one row.
    """
    _, num_kv_heads, block_size, _ = pool.shape
    value_size = kv_rows.value_size(pool, key_size)
    parts = (key_size + value_size) // 4
    k, v = gather_kernel(kv_rows.kernel_suffix(pool))(
        [pool, block_tables, fence.latest(), parameters(table_start, num_tokens)],
        template=[
            ("T", dtype),
            ("P", pool.dtype),
            ("D", key_size),
            ("DV", value_size),
            ("BS", block_size),
        ],
        grid=(parts, num_tokens, num_kv_heads),
        threadgroup=(min(parts, MAX_THREADS), max(1, MAX_THREADS // parts), 1),
        outputs=[
            ((num_kv_heads, num_tokens, key_size), dtype),
            ((num_kv_heads, num_tokens, value_size), dtype),
        ],
    )
    return k, v


@cache
def gather_kernel(suffix: str) -> Kernel:
    return Kernel(
        name=f"gather_kv{suffix}",
        body="gather_kv",
        inputs=("pool", "block_tables", "fence", "sizes"),
        outputs=("k", "v"),
        headers=("unroll", kv_rows.row_header(suffix)),
    )

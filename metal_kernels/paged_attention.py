"""Attention of a flat batch of rows over a paged pool: decode, verify and prefill rows mixed."""

import mlx.core as mx

from metal_kernels import reference
from metal_kernels.backend import backend, cpu
from metal_kernels.metal import paged_attention as metal_attention
from metal_kernels.metal import trust
from metal_kernels.metal.kv_rows import kernel_suffix


def paged_attention(
    q: mx.array,
    pool: mx.array,
    *,
    block_tables: mx.array,
    query_starts: mx.array,
    context_lens: mx.array,
    scale: float,
    window: int | None = None,
    sinks: mx.array | None = None,
    soft_cap: float | None = None,
) -> mx.array:
    """Attend rows q [T, H, D] to their sequences' tokens in the pool; [T, H, Dv] in q's dtype.

    Rows query_starts[i] .. query_starts[i+1] belong to sequence i, whose context_lens[i] tokens
    (this step's included) lie in the blocks block_tables[i]; its last row is the last token. A row
    sees tokens up to its own, and with `window` only the last `window` of them. `sinks` [H] are
    logits that take part in the softmax without a value; `soft_cap` bounds scores through tanh.
    """
    num_sequences = context_lens.size
    assert query_starts.size == num_sequences + 1
    assert block_tables.shape[0] == num_sequences
    assert q.shape[1] % pool.shape[1] == 0
    if backend() == "cpu":
        return cpu.paged_attention(
            q, pool, block_tables, query_starts, context_lens, scale, window or 0, sinks,
            soft_cap or 0.0,
        )  # fmt: skip
    if backend() == "metal" and trust.works(f"gather_kv{kernel_suffix(pool)}"):
        return metal_attention.paged_attention(
            q,
            pool,
            block_tables=block_tables,
            query_starts=query_starts,
            context_lens=context_lens,
            scale=scale,
            window=window,
            sinks=sinks,
            soft_cap=soft_cap,
        )
    if backend() == "metal":
        mx.eval(pool)  # MLX's own ops are not ordered behind our writes in place
    return reference.paged_attention(
        q,
        pool,
        block_tables=block_tables,
        query_starts=query_starts,
        context_lens=context_lens,
        scale=scale,
        window=window,
        sinks=sinks,
        soft_cap=soft_cap,
    )

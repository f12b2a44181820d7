"""Attention over the paged pool: few rows per sequence in our kernel, many through MLX's own.

The host knows every sequence's lengths, so it lays out the launch (`attention_plan`) once per step;
all layers of the step share it.
"""

from functools import cache
from typing import cast

import mlx.core as mx
import numpy as np

from metal_kernels.metal import fence, kv_rows, trust, tuning
from metal_kernels.metal.attention_kernels import (
    attention_kernel,
    least_matrix_rows,
    matrix_dtype,
    matrix_kernel,
    merge_kernel,
    partial_dtype,
    takes_head_sizes,
)
from metal_kernels.metal.attention_plan import NO_WINDOW, Layout, Plan, make_plan, split_runs
from metal_kernels.metal.dense_attention import dense_attention
from metal_kernels.metal.gather_kv import gather_kv
from metal_kernels.metal.kernel import parameters

MAX_KERNEL_ROWS = 17
"""Query tokens per sequence up to which K and V are read in place: a token and 16 drafts."""


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
    """As `metal_kernels.paged_attention.paged_attention`, whose checks have passed."""
    starts = cast(list[int], query_starts.tolist())
    contexts = cast(list[int], context_lens.tolist())
    width = block_tables.shape[1]
    value_size, suffix = kv_rows.value_size(pool, q.shape[-1]), kv_rows.kernel_suffix(pool)
    fits = takes_head_sizes(q.shape[-1], value_size)
    kernel = attention_kernel(suffix)
    most_rows = MAX_KERNEL_ROWS if fits and trust.works(kernel.name) else 0
    tuned = tuning.current()
    layout = Layout(
        num_heads=q.shape[1],
        num_kv_heads=pool.shape[1],
        head_size=q.shape[-1],
        window=window or NO_WINDOW,
        pool_bytes=pool.itemsize,
        partial_bytes=partial_dtype(q, pool).size,
        most_threadgroups=tuned.attention_threadgroups,
        matrix_rows=least_matrix_rows(q.shape[-1], value_size, suffix),
        split_row_tokens=tuned.attention_split_row_tokens,
    )
    results = []
    for first, last in split_runs(starts, most_rows):
        rows = q[starts[first] : starts[last]]
        if last - first == 1 and rows.shape[0] > most_rows:
            k, v = gather_kv(
                pool, block_tables, first * width, contexts[first], q.shape[-1], q.dtype
            )
            results.append(dense_attention(rows, k, v, scale, window, sinks, soft_cap))
            continue
        plan = make_plan(
            tuple(np.diff(starts[first : last + 1]).tolist()),
            tuple(contexts[first:last]),
            range(first * width, last * width, width),
            layout,
        )
        results.append(_launch(rows, pool, block_tables, plan, scale, window, sinks, soft_cap))
    return results[0] if len(results) == 1 else mx.concatenate(results)


def _launch(
    q: mx.array,
    pool: mx.array,
    block_tables: mx.array,
    plan: Plan,
    scale: float,
    window: int | None,
    sinks: mx.array | None,
    soft_cap: float | None,
) -> mx.array:
    num_tokens, num_heads, head_size = q.shape
    _, num_kv_heads, block_size, _ = pool.shape
    value_size = kv_rows.value_size(pool, head_size)
    is_split = plan.num_splits > 1
    sink_logits = _no_sinks(num_heads) if sinks is None else sinks.astype(mx.float32)
    out_dtype = partial_dtype(q, pool) if is_split else q.dtype
    partial_shape = (num_tokens, num_heads, plan.num_splits)
    kernel = matrix_kernel if plan.shape.uses_matrices else attention_kernel
    out, log_sums = kernel(kv_rows.kernel_suffix(pool))(
        [
            q,
            pool,
            block_tables,
            plan.tiles,
            sink_logits,
            fence.latest(),
            parameters(
                num_heads, num_kv_heads, plan.split_tokens, window or NO_WINDOW, plan.num_splits
            ),
            parameters(float(scale), float(soft_cap or 0.0)),
        ],
        template=[
            ("T", q.dtype),
            ("P", pool.dtype),
            ("O", out_dtype),
            ("D", head_size),
            ("DV", value_size),
            ("BS", block_size),
            ("F", matrix_dtype(q, pool)) if plan.shape.uses_matrices else ("R", plan.shape.rows),
            ("TILES", plan.shape.tiles),
            ("STRIPES", plan.shape.stripes),
            ("SPLIT", is_split),
        ],
        grid=(
            plan.num_tiles * 32,
            num_kv_heads * plan.shape.tiles * plan.shape.stripes,
            plan.num_splits,
        ),
        threadgroup=(32, plan.shape.tiles * plan.shape.stripes, 1),
        outputs=[
            ((*partial_shape, value_size), out_dtype),
            (partial_shape if is_split else (8,), mx.float32),
        ],
    )
    if not is_split:
        return out.reshape(num_tokens, num_heads, value_size)
    return merge_kernel()(
        [
            out,
            log_sums,
            plan.live_splits,
            sink_logits,
            parameters(num_heads, plan.num_splits),
        ],
        template=[("T", q.dtype), ("DV", value_size)],
        grid=(num_heads * 32, num_tokens, 1),
        threadgroup=(32, 1, 1),
        outputs=[((num_tokens, num_heads, value_size), q.dtype)],
    )[0]


@cache
def _no_sinks(num_heads: int) -> mx.array:
    return mx.full((num_heads,), -mx.inf, dtype=mx.float32)

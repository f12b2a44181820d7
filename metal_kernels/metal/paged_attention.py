"""Attention over the paged pool: few rows per sequence in our kernel, many through MLX's own.

The host knows every sequence's lengths, so it lays out the launch (a `Plan`) once per step; all
layers of the step share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple, cast

import mlx.core as mx
import numpy as np

from metal_kernels.metal import fence, kv_rows, trust, tuning
from metal_kernels.metal.attention_kernels import (
    NEVER,
    attention_kernel,
    least_matrix_rows,
    matrix_dtype,
    matrix_kernel,
    merge_kernel,
    takes_head_sizes,
)
from metal_kernels.metal.dense_attention import dense_attention
from metal_kernels.metal.gather_kv import gather_kv
from metal_kernels.metal.kernel import parameters

MAX_KERNEL_ROWS = 17
"""Query tokens per sequence up to which K and V are read in place: a token and 16 drafts."""

# A split's partial sums, written and read in float32, stay below 4 % of its keys and values (of two
# bytes each) for up to eight rows; more rows give up bytes for threadgroups.
MIN_SPLIT_TOKENS, MIN_SPLIT_TOKENS_PER_ROW, MAX_MIN_SPLIT_TOKENS = 256, 64, 512
NO_WINDOW = 1 << 30


class Tile(NamedTuple):
    """Rows of one sequence that share a threadgroup; a row is query token * group + head in group.

    Every row of it sees keys inside `start:end`.
    """

    first_token: int
    first_row: int
    num_rows: int
    first_position: int
    table_start: int
    start: int
    end: int
    unused: int = 0


class Shape(NamedTuple):
    """Rows per simdgroup, sets of rows and stripes of keys per threadgroup."""

    rows: int
    tiles: int
    stripes: int
    uses_matrices: bool = False


@dataclass(frozen=True, eq=False)
class Plan:
    """One launch for a run of sequences with few query tokens each."""

    shape: Shape
    tiles: mx.array
    num_tiles: int
    live_splits: mx.array
    split_tokens: int
    num_splits: int


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
            table_rows=range(first * width, last * width, width),
            num_heads=q.shape[1],
            num_kv_heads=pool.shape[1],
            head_size=q.shape[-1],
            window=window or NO_WINDOW,
            most_threadgroups=tuning.current().attention_threadgroups,
            element_bytes=pool.itemsize,
            matrix_rows=least_matrix_rows(q.shape[-1], value_size, suffix),
        )
        results.append(_launch(rows, pool, block_tables, plan, scale, window, sinks, soft_cap))
    return results[0] if len(results) == 1 else mx.concatenate(results)


def split_runs(starts: Sequence[int], most_rows: int) -> list[tuple[int, int]]:
    """Sequences first:last that go together: those of more rows alone, other neighbours as one.

    >>> split_runs([0, 1, 2, 40, 41], most_rows=16)
    [(0, 2), (2, 3), (3, 4)]
    """
    runs: list[tuple[int, int]] = []
    joins = False
    for i in range(len(starts) - 1):
        is_short = starts[i + 1] - starts[i] <= most_rows
        if is_short and joins:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
        joins = is_short
    return runs


def choose_shape(num_rows: int, head_size: int, matrix_rows: int = NEVER) -> Shape:
    """For the rows of one sequence and kv head. Wide heads fill the registers with fewer rows."""
    uses_matrices = num_rows >= matrix_rows
    most = 8 if head_size <= 128 else 4
    rows = 8 if uses_matrices else min(most, 1 << (num_rows - 1).bit_length())
    tiles, stripes = (1, 4) if num_rows <= rows else (2, 4) if num_rows <= 2 * rows else (4, 2)
    return Shape(rows, tiles, stripes, uses_matrices)


@lru_cache(maxsize=16)
def make_plan(
    query_lens: tuple[int, ...],
    contexts: tuple[int, ...],
    *,
    table_rows: range,
    num_heads: int,
    num_kv_heads: int,
    head_size: int,
    window: int,
    most_threadgroups: int,
    element_bytes: int,
    matrix_rows: int,
) -> Plan:
    """Tiles and splits for sequences of `contexts` tokens, the last `query_lens` of them asking."""
    group = num_heads // num_kv_heads
    shape = choose_shape(max(query_lens) * group, head_size, matrix_rows)
    capacity = shape.rows * shape.tiles
    # Heads of one token stay together where they fit, so that all its rows have the same splits.
    step = capacity // group * group or capacity
    tiles = []
    first_token = 0
    for query_len, context, table_start in zip(query_lens, contexts, table_rows, strict=True):
        first_position = context - query_len
        for row in range(0, query_len * group, step):
            num_rows = min(step, query_len * group - row, capacity)
            start = max(0, first_position + row // group - window + 1)
            end = first_position + (row + num_rows - 1) // group + 1
            tiles.append(Tile(first_token, row, num_rows, first_position, table_start, start, end))
        first_token += query_len
    span = max(tile.end - tile.start for tile in tiles)
    wanted = -(-most_threadgroups // (num_kv_heads * len(tiles)))
    smallest = MIN_SPLIT_TOKENS_PER_ROW * max(tile.num_rows for tile in tiles)
    smallest = min(max(smallest, MIN_SPLIT_TOKENS), MAX_MIN_SPLIT_TOKENS)
    smallest *= 2 if element_bytes == 1 else 1  # as many bytes in int8 as in float16
    num_splits = max(1, min(wanted, span // smallest))
    split_tokens = -(-span // (32 * num_splits)) * 32
    num_splits = -(-span // split_tokens)
    live = np.ones(max(8, first_token), np.int32)
    for tile in tiles:
        tokens = np.arange(tile.first_row, tile.first_row + tile.num_rows) // group
        live[tile.first_token + tokens] = -(-(tile.end - tile.start) // split_tokens)
    return Plan(
        shape, mx.array(np.array(tiles, np.int32)), len(tiles), mx.array(live), split_tokens,
        num_splits,
    )  # fmt: skip


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
            ("O", mx.float32 if is_split else q.dtype),
            ("D", head_size),
            ("DV", value_size),
            ("BS", block_size),
            ("F", matrix_dtype(q, pool)) if plan.shape.uses_matrices else ("R", plan.shape.rows),
            ("TILES", plan.shape.tiles),
            ("STRIPES", plan.shape.stripes),
            ("SPLIT", is_split),
        ],
        grid=(
            num_kv_heads * 32,
            plan.num_tiles * plan.shape.tiles * plan.shape.stripes,
            plan.num_splits,
        ),
        threadgroup=(32, plan.shape.tiles * plan.shape.stripes, 1),
        outputs=[
            ((*partial_shape, value_size), mx.float32 if is_split else q.dtype),
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

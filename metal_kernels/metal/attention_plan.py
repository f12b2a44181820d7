"""How one launch of paged attention is laid out: tiles of rows that share keys, splits of the keys.

Integers in, integers out, except that a `Plan` holds its tables as arrays for the kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import mlx.core as mx
import numpy as np

MIN_SPLIT_BYTES, COVERING_SPLIT_BYTES = 512, 1536
"""Of a column of keys or values: 256 and 768 tokens in float16."""

CORE_THREADGROUPS = 8
"""That fill a core, see `tuning.Tuning.attention_threadgroups`."""

NEVER = 1 << 30
"""More rows than there are."""

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


class Layout(NamedTuple):
    """What a plan depends on beside the lengths of its sequences."""

    num_heads: int
    num_kv_heads: int
    head_size: int
    window: int
    pool_bytes: int
    """Of an element of keys and values."""
    partial_bytes: int
    """Of an element of what splits hand on."""
    most_threadgroups: int
    matrix_rows: int
    split_row_tokens: int
    """See `tuning.Tuning`."""

    @property
    def group(self) -> int:
        """Query heads that share a kv head."""
        return self.num_heads // self.num_kv_heads


@dataclass(frozen=True, eq=False)
class Plan:
    """One launch for a run of sequences with few query tokens each."""

    shape: Shape
    tiles: mx.array
    num_tiles: int
    live_splits: mx.array
    split_tokens: int
    num_splits: int


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
    """For the rows of one sequence and kv head. Wide heads fill the registers with fewer rows.

    The more rows, the fewer stripes: what a threadgroup reads serves all of them.
    """
    uses_matrices = num_rows >= matrix_rows
    most = 8 if head_size <= 128 else 4
    rows = 8 if uses_matrices else min(most, 1 << (num_rows - 1).bit_length())
    tiles = min(8, 1 << (-(-num_rows // rows) - 1).bit_length())
    return Shape(rows, tiles, min(4, 8 // tiles), uses_matrices)


@lru_cache(maxsize=16)
def make_plan(
    query_lens: tuple[int, ...], contexts: tuple[int, ...], table_rows: range, layout: Layout
) -> Plan:
    """Tiles and splits for sequences of `contexts` tokens, the last `query_lens` of them asking."""
    shape = choose_shape(max(query_lens) * layout.group, layout.head_size, layout.matrix_rows)
    tiles = _make_tiles(query_lens, contexts, table_rows, layout, shape.rows * shape.tiles)
    span = max(tile.end - tile.start for tile in tiles)
    most_rows = max(tile.num_rows for tile in tiles)
    wanted = -(-layout.most_threadgroups // (layout.num_kv_heads * len(tiles)))
    num_splits = max(1, min(wanted, span // least_split_tokens(most_rows, layout)))
    # Many rows are bound by arithmetic: every core has some, whatever their sums cost.
    covering = -(-wanted // CORE_THREADGROUPS)
    num_splits = max(num_splits, min(covering, span * layout.pool_bytes // COVERING_SPLIT_BYTES))
    split_tokens = -(-span // (32 * num_splits)) * 32
    live = np.ones(max(8, sum(query_lens)), np.int32)
    for tile in tiles:
        tokens = np.arange(tile.first_row, tile.first_row + tile.num_rows) // layout.group
        live[tile.first_token + tokens] = -(-(tile.end - tile.start) // split_tokens)
    return Plan(
        shape, mx.array(np.array(tiles, np.int32)), len(tiles), mx.array(live), split_tokens,
        num_splits=-(-span // split_tokens),
    )  # fmt: skip


def least_split_tokens(num_rows: int, layout: Layout) -> int:
    """Tokens of a split whose sums, written once and read once, are little beside its keys."""
    row_bytes = layout.split_row_tokens * layout.partial_bytes
    return max(MIN_SPLIT_BYTES, num_rows * row_bytes) // layout.pool_bytes


def _make_tiles(
    query_lens: Sequence[int],
    contexts: Sequence[int],
    table_rows: range,
    layout: Layout,
    capacity: int,
) -> list[Tile]:
    group = layout.group
    # Heads of one token stay together where they fit, so that all its rows have the same splits.
    step = capacity // group * group or capacity
    tiles = []
    first_token = 0
    for query_len, context, table_start in zip(query_lens, contexts, table_rows, strict=True):
        first_position = context - query_len
        for row in range(0, query_len * group, step):
            num_rows = min(step, query_len * group - row, capacity)
            start = max(0, first_position + row // group - layout.window + 1)
            end = first_position + (row + num_rows - 1) // group + 1
            tiles.append(Tile(first_token, row, num_rows, first_position, table_start, start, end))
        first_token += query_len
    return tiles

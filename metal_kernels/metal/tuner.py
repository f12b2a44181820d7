"""Measures the layouts of `tuning` on the GPU at hand and says which is fastest.

One choice after the other, each with the ones made before it. Candidates take turns, and the least
time of each counts: whatever else runs only ever adds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from metal_kernels.metal import quantized_matmul, tuning
from metal_kernels.metal.block_formats import random_blocks
from metal_kernels.metal.paged_attention import paged_attention
from metal_kernels.metal.quantized_matmul import StoredBlocks


class Workload(NamedTuple):
    """Sizes large enough that no cache holds them all, in the formats of most files."""

    quantizations: tuple[str, ...] = ("Q4_K", "Q6_K", "Q8_0")
    num_outputs: int = 4096
    num_columns: int = 14336
    num_copies: int = 4
    """Matrices of each format, so that none is still in a cache when its turn comes."""
    num_heads: int = 32
    num_kv_heads: int = 8
    head_size: int = 128
    context: int = 16384
    num_rounds: int = 5


Launch = Callable[[], Sequence[mx.array]]
Timer = Callable[[Launch], float]


class Candidate(NamedTuple):
    """Values to try, and what to launch under them."""

    values: dict[str, int]
    launch: Launch


class Measurement(NamedTuple):
    """A candidate's least time."""

    values: dict[str, int]
    seconds: float


def tune(
    workload: Workload, timer: Timer, report: Callable[[Measurement], object]
) -> dict[str, int]:
    """The fastest values by name. They hold from here on (see `tuning.use`)."""
    chosen: dict[str, int] = {}
    for candidates in _stages(workload):
        times = _measure(candidates, chosen, workload.num_rounds, timer)
        for candidate, seconds in zip(candidates, times, strict=True):
            report(Measurement(candidate.values, seconds))
        best = min(range(len(times)), key=times.__getitem__)
        chosen |= candidates[best].values
    tuning.use(chosen)
    return chosen


def launch_time(launch: Launch) -> float:
    """Seconds from the launch to its results."""
    start = time.perf_counter()
    mx.eval(launch())
    return time.perf_counter() - start


def _measure(
    candidates: Sequence[Candidate], chosen: dict[str, int], num_rounds: int, timer: Timer
) -> list[float]:
    times: list[list[float]] = [[] for _ in candidates]
    for _ in range(num_rounds + 1):
        for candidate, found in zip(candidates, times, strict=True):
            tuning.use(chosen | candidate.values)
            found.append(timer(candidate.launch))
    return [min(found[1:]) for found in times]  # the first round compiles


def _stages(load: Workload) -> Iterator[list[Candidate]]:
    matrices = [
        StoredBlocks(mx.array(blocks), quantization)
        for quantization in load.quantizations
        for blocks in [_blocks(quantization, load)]
        for _ in range(load.num_copies)
    ]
    mx.eval([matrix.blocks for matrix in matrices])
    multiply = partial(_multiply, matrices, load.num_columns)
    yield [
        Candidate({"matvec_weight_rows": rows, "matvec_simdgroups": groups}, multiply([1]))
        for rows, groups in product((2, 4, 8), (1, 2, 4))
    ]
    always_small = {"matvec_max_rows": 0, "small_max_rows": 32}
    yield [
        Candidate({"small_simdgroups": groups, **always_small}, multiply([8, 16]))
        for groups in (2, 4, 8)
    ]
    sizes = [n for n in tuning.CHOICES["small_wide_outputs"] if n <= load.num_outputs]
    parts = [multiply([8], num_outputs) for num_outputs in sizes]
    yield [
        Candidate({"small_wide_outputs": least, **always_small}, partial(_all, parts))
        for least in (*sizes, 16384)
    ]
    yield [Candidate({"matvec_max_rows": most}, multiply([1, 2, 3, 4])) for most in (0, 1, 2, 3, 4)]
    yield [
        Candidate({"small_max_rows": most}, multiply([8, 16, 24, 32])) for most in (8, 16, 24, 32)
    ]
    attend = _attend(load, [1])
    yield [
        Candidate({"attention_threadgroups": most}, attend)
        for most in tuning.CHOICES["attention_threadgroups"]
    ]
    attend = _attend(load, [1, 2, 4])
    yield [Candidate({"attention_matrix_rows": least}, attend) for least in (1, 5, 9, 1000)]
    attend = _attend(load, [5, 16])
    yield [
        Candidate({"attention_split_row_tokens": least}, attend)
        for least in tuning.CHOICES["attention_split_row_tokens"]
    ]


def _blocks(quantization: str, load: Workload) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    return random_blocks(quantization, load.num_outputs, load.num_columns, rng)


def _multiply(
    matrices: Sequence[StoredBlocks],
    num_columns: int,
    row_counts: Sequence[int],
    num_outputs: int | None = None,
) -> Launch:
    """Products of so many rows with every matrix, or with its first rows only."""
    inputs = [mx.ones((num_rows, num_columns), dtype=mx.float16) for num_rows in row_counts]
    used = [StoredBlocks(blocks[:num_outputs], name) for blocks, name in matrices]
    mx.eval(inputs, [matrix.blocks for matrix in used])

    def launch() -> list[mx.array]:
        return [quantized_matmul.matmul(x, *matrix) for x in inputs for matrix in used]

    return launch


def _all(parts: Sequence[Launch]) -> list[mx.array]:
    return [array for part in parts for array in part()]


def _attend(load: Workload, row_counts: Sequence[int]) -> Launch:
    """So many rows of a sequence over two contexts, the long one and a quarter of it."""
    num_blocks = -(-load.context // 16)
    shape = (num_blocks, load.num_kv_heads, 16, 2 * load.head_size)
    pool = mx.zeros(shape, dtype=mx.float16)
    queries = [
        mx.ones((num_rows, load.num_heads, load.head_size), dtype=mx.float16)
        for num_rows in row_counts
    ]
    table = mx.arange(num_blocks, dtype=mx.int32)[None]
    mx.eval(pool, queries, table)

    def launch() -> list[mx.array]:
        return [
            paged_attention(
                q,
                pool,
                block_tables=table,
                query_starts=mx.array([0, q.shape[0]]),
                context_lens=mx.array([context]),
                scale=0.1,
            )
            for q, context in product(queries, (load.context, load.context // 4))
        ]

    return launch

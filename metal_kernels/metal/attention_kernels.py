"""The kernels of paged attention, and which of the two takes how many rows of what sizes."""

from functools import cache

import mlx.core as mx

from metal_kernels.metal import kv_rows, trust, tuning
from metal_kernels.metal.attention_plan import NEVER
from metal_kernels.metal.kernel import Kernel

MAX_HEAD_SIZE = 256
"""Above it a row's share of a head no longer fits the registers."""

MAX_MATRIX_HEAD_SIZE = 128
"""Above it eight rows' sums no longer fit them."""

_INPUTS = ("q", "pool", "block_tables", "tiles", "sinks", "fence", "sizes", "factors")


def takes_head_sizes(key_size: int, value_size: int) -> bool:
    """Whether the kernel can be compiled for these; four lanes share a key, four values a load."""
    return key_size % 16 == 0 and value_size % 4 == 0 and max(key_size, value_size) <= MAX_HEAD_SIZE


def least_matrix_rows(key_size: int, value_size: int, suffix: str) -> int:
    """Rows of one kv head from which the kernel of 8x8 matrices runs; `NEVER` if it cannot."""
    divides = key_size % 32 == 0 and value_size % 16 == 0
    fits = divides and max(key_size, value_size) <= MAX_MATRIX_HEAD_SIZE
    if not fits or not trust.works(matrix_kernel(suffix).name):
        return NEVER
    return tuning.current().attention_matrix_rows


def matrix_dtype(q: mx.array, pool: mx.array) -> mx.Dtype:
    """What queries, keys and weights are multiplied in: float16 where both came in no more."""
    halves = q.dtype == mx.float16 and pool.dtype in (mx.float16, kv_rows.INT8)
    return mx.float16 if halves else mx.float32


def partial_dtype(q: mx.array, pool: mx.array) -> mx.Dtype:
    """What a split's mean of the values is handed on in: no wider than the values came or leave."""
    narrow = q.dtype != mx.float32 and pool.dtype in (mx.float16, kv_rows.INT8)
    return mx.float16 if narrow else mx.float32


@cache
def attention_kernel(suffix: str) -> Kernel:
    return Kernel(
        name=f"paged_attention{suffix}",
        body="paged_attention",
        inputs=_INPUTS,
        outputs=("out", "log_sums"),
        headers=("unroll", kv_rows.row_header(suffix)),
    )


@cache
def matrix_kernel(suffix: str) -> Kernel:
    return Kernel(
        name=f"paged_attention_matrix{suffix}",
        body="paged_attention_matrix",
        inputs=_INPUTS,
        outputs=("out", "log_sums"),
        headers=("unroll", "simdgroup_layout", kv_rows.row_header(suffix)),
    )


@cache
def merge_kernel() -> Kernel:
    return Kernel(
        name="paged_attention_merge",
        body="paged_attention_merge",
        inputs=("partial", "log_sums", "live_splits", "sinks", "sizes"),
        outputs=("out",),
        headers=("unroll",),
    )

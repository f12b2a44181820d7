"""What is timed: shapes of real models, the bytes each must move, and what must come out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import mlx.core as mx
import numpy as np

from metal_kernels import reference
from metal_kernels.metal import quantized_matmul
from metal_kernels.metal.block_formats import FORMATS, random_blocks
from metal_kernels.metal.paged_attention import paged_attention

CACHE_BYTES = 128 << 20
"""Inputs of one case go round among sets that are larger together than any card's cache."""

Call = Callable[[], tuple[mx.array, mx.array]]
"""What a kernel made, and what it should have made of it."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    shape: str
    num_bytes: int
    """Weights, or keys and values, once, and what goes in and out."""
    least_share: float | None
    """Of the copy bandwidth, where the project asks for one."""
    calls: tuple[Call, ...]
    """The same work on different sets of inputs."""


def matmul_case(
    quantization: str, num_rows: int, num_outputs: int, num_columns: int, least: float | None = None
) -> Case:
    """x [num_rows, K] times the transpose of W [N, K]."""
    form = FORMATS[quantization]
    weight_bytes = num_outputs * num_columns // form.values * form.bytes
    moved = weight_bytes + 2 * num_rows * (num_columns + num_outputs)
    multiply = partial(_multiply, quantization, num_rows, num_outputs, num_columns)
    return Case(
        f"{quantization} {_rows(num_rows)}",
        f"{num_outputs} x {num_columns}",
        moved,
        least,
        tuple(partial(multiply, seed) for seed in range(-(-CACHE_BYTES // weight_bytes))),
    )


def _rows(count: int) -> str:
    return f"{count} row{'s' if count > 1 else ''}"


def _multiply(
    quantization: str, num_rows: int, num_outputs: int, num_columns: int, seed: int
) -> tuple[mx.array, mx.array]:
    rng = np.random.default_rng(seed)
    blocks = _random_weights(quantization, num_outputs, num_columns, seed)
    x = mx.array(rng.standard_normal((num_rows, num_columns)).astype(np.float16))
    y = quantized_matmul.matmul(x, blocks, quantization)
    some = mx.array(np.unique(rng.integers(0, num_outputs, 64)))
    dense = reference.dequantize_blocks(quantization, np.array(blocks[some]), num_columns)
    return y[:, some], mx.array(np.array(x, np.float32) @ dense.T)


@lru_cache(maxsize=16)
def _random_weights(quantization: str, num_outputs: int, num_columns: int, seed: int) -> mx.array:
    rng = np.random.default_rng(seed)
    return mx.array(random_blocks(quantization, num_outputs, num_columns, rng))


def attention_case(
    num_rows: int,
    context: int,
    num_heads: int,
    num_kv_heads: int,
    head_size: int,
    least: float | None = None,
) -> Case:
    """The last `num_rows` tokens of one sequence over its keys and values in float16."""
    kv_bytes = 2 * 2 * context * num_kv_heads * head_size
    moved = kv_bytes + 2 * 2 * num_rows * num_heads * head_size
    attend = partial(_attend, num_rows, context, num_heads, num_kv_heads, head_size)
    return Case(
        f"attention {_rows(num_rows)}",
        f"{context} tokens, {num_heads}/{num_kv_heads} heads of {head_size}",
        moved,
        least,
        tuple(partial(attend, seed) for seed in range(-(-CACHE_BYTES // kv_bytes))),
    )


def _attend(
    num_rows: int, context: int, num_heads: int, num_kv_heads: int, head_size: int, seed: int
) -> tuple[mx.array, mx.array]:
    rng = np.random.default_rng(seed)
    block_size = 16
    num_blocks = -(-context // block_size)
    shape = (num_blocks, num_kv_heads, block_size, 2 * head_size)
    pool = _random_pool(shape, seed)
    q = mx.array(rng.standard_normal((num_rows, num_heads, head_size)).astype(np.float16))
    places = {
        "block_tables": mx.array(rng.permutation(num_blocks).astype(np.int32))[None],
        "query_starts": mx.array([0, num_rows], dtype=mx.int32),
        "context_lens": mx.array([context], dtype=mx.int32),
        "scale": head_size**-0.5,
    }
    out = paged_attention(q, pool, **places)
    if seed:  # the definition takes seconds
        return out, out
    expected = reference.paged_attention(q, pool, **places, window=None, sinks=None, soft_cap=None)
    return out, expected


@lru_cache(maxsize=8)
def _random_pool(shape: tuple[int, ...], seed: int) -> mx.array:
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return mx.array(values.astype(np.float16))


def cases() -> Iterator[Case]:
    """All rows, those the project sets a bar for first."""
    for quantization in ("Q4_K", "Q8_0"):
        for num_outputs, num_columns in ((14336, 4096), (4096, 14336)):
            yield matmul_case(quantization, 1, num_outputs, num_columns, 0.75)
            for num_rows in (2, 4, 8, 16, 32):
                yield matmul_case(quantization, num_rows, num_outputs, num_columns)
    for quantization in ("Q5_K", "Q6_K", "Q4_0", "Q3_K", "Q2_K", "IQ4_XS", "MXFP4"):
        for num_rows in (1, 8):
            yield matmul_case(quantization, num_rows, 14336, 4096)
    yield attention_case(1, 16384, 64, 8, 128, 0.70)
    for num_rows, context, num_heads, num_kv_heads, head_size in (
        (4, 16384, 64, 8, 128),
        (1, 16384, 32, 8, 128),
        (1, 16384, 32, 8, 64),
        (1, 16384, 32, 4, 128),
        (1, 4096, 32, 8, 128),
        (1, 65536, 32, 8, 128),
    ):
        yield attention_case(num_rows, context, num_heads, num_kv_heads, head_size)

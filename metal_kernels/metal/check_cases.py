"""Every kernel variant a model can launch, each with small inputs and what should come out.

The definitions are computed on the CPU, so that a GPU is not compared with itself.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from metal_kernels import reference
from metal_kernels.int8_rows import pack_rows, pool_row_size, unpack_rows
from metal_kernels.metal import fence, grouped_matmul, quantized_matmul, trust
from metal_kernels.metal.attention_kernels import (
    attention_kernel,
    least_matrix_rows,
    matrix_kernel,
    takes_head_sizes,
)
from metal_kernels.metal.attention_plan import NEVER, choose_shape
from metal_kernels.metal.block_formats import FORMATS, random_blocks
from metal_kernels.metal.kv_rows import INT8
from metal_kernels.metal.kv_write import kv_write, rope_kv_write
from metal_kernels.metal.paged_attention import MAX_KERNEL_ROWS, paged_attention
from metal_kernels.metal.quantized_matmul import StoredBlocks


class Product(NamedTuple):
    """Matrices that one launch multiplies: their formats in order, and all their rows together."""

    quantizations: tuple[str, ...]
    num_outputs: int


class Needs(NamedTuple):
    """What a model will launch."""

    products: frozenset[Product]
    dtype: mx.Dtype
    pool_dtype: mx.Dtype
    num_heads: int
    num_kv_heads: int
    head_size: int
    value_size: int
    block_size: int
    stacks: frozenset[str] = frozenset()
    """Formats of stacks of matrices, of which rows pick theirs by id."""

    @property
    def suffix(self) -> str:
        """What the names of kernels for this kind of pool end in."""
        return "_int8" if self.pool_dtype == INT8 else ""

    def describe(self) -> str:
        """The same needs give the same words; sizes of matrices count as far as they matter."""
        tiles = (f"{'+'.join(names)}:{wide}" for names, wide in self.output_tiles())
        sizes = (*self[1:-1], *sorted(self.stacks))
        return " ".join([",".join(tiles), *map(str, sizes)])

    def output_tiles(self) -> list[tuple[tuple[str, ...], int]]:
        """Formats our kernels read, with the tiles of outputs that their sizes ask for."""
        return sorted(
            {
                (product.quantizations, quantized_matmul.output_tiles(product.num_outputs))
                for product in self.products
                if all(quantization in FORMATS for quantization in product.quantizations)
            }
        )


Check = tuple[str, str, Callable[[], tuple[mx.array, mx.array]]]
"""Kernel, variant, and a function that returns what came out and what should have."""


def checks(needs: Needs) -> Iterator[Check]:
    """Every variant a model with these needs can launch."""
    products = needs.output_tiles()
    stacks = needs.stacks & FORMATS.keys()
    for quantization in sorted({name for names, _ in products for name in names} | stacks):
        yield from _row_checks(quantization, needs.dtype)
    for quantization in sorted(stacks):
        yield from _stack_checks(quantization, needs.dtype)
    for quantizations in sorted({names for names, _ in products}):
        tiles = {wide for names, wide in products if names == quantizations}
        yield from _product_checks(quantizations, sorted(tiles), needs.dtype)
    yield from _write_checks(needs)
    yield from _attention_checks(needs)


def _random(*shape: int, dtype: mx.Dtype) -> mx.array:
    rng = np.random.default_rng(sum(shape))
    return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)


# More than one round of the lanes' stride, and a tail in both directions.
_NUM_ROWS, _NUM_COLUMNS = 41, 1280


def _matrix(quantization: str) -> tuple[StoredBlocks, np.ndarray[Any, Any]]:
    """Random blocks, and their values float32 [N, K]."""
    blocks = random_blocks(quantization, _NUM_ROWS, _NUM_COLUMNS, np.random.default_rng(7))
    dense = reference.dequantize_blocks(quantization, blocks, _NUM_COLUMNS)
    return StoredBlocks(mx.array(blocks), quantization), dense


def _row_checks(quantization: str, dtype: mx.Dtype) -> Iterator[Check]:
    def look_up(num_ids: int) -> tuple[mx.array, mx.array]:
        (stored, _), dense = _matrix(quantization)
        ids = mx.arange(num_ids, dtype=mx.int32) * 3
        expected = mx.array(dense[: num_ids * 3 : 3])
        return quantized_matmul.take_rows(stored, quantization, ids, dtype), expected

    for num_ids in (1, 12):
        name = quantized_matmul.dequantize_kernel(quantization).name
        yield name, f"{num_ids} rows", partial(look_up, num_ids)


def _stack_checks(quantization: str, dtype: mx.Dtype) -> Iterator[Check]:
    """Four matrices of ten rows; the last of the 41 is left out."""

    def choose(num_x: int, repeats: int) -> tuple[mx.array, mx.array]:
        (stored, _), dense = _matrix(quantization)
        x = _random(num_x, _NUM_COLUMNS, dtype=dtype)
        ids = mx.arange(num_x * repeats, dtype=mx.int32) * 3 % 4
        y = grouped_matmul.matvec(x, stored[:40], ids, quantization, 4)
        stack = dense[:40].reshape(4, 10, -1)[np.array(ids)]
        wide = np.array(x.astype(mx.float32)).repeat(repeats, axis=0)
        return y, mx.array(np.einsum("rnk,rk->rn", stack, wide))

    name = grouped_matmul.matvec_kernel(quantization).name
    for num_x, repeats in ((1, 2), (3, 4)):
        yield name, f"{num_x} rows, {repeats} matrices each", partial(choose, num_x, repeats)


def _product_checks(
    quantizations: tuple[str, ...], tiles: list[int], dtype: mx.Dtype
) -> Iterator[Check]:
    def multiply(num_x: int, output_tiles: int) -> tuple[mx.array, mx.array]:
        matrices, dense = zip(*map(_matrix, quantizations), strict=True)
        x = _random(num_x, _NUM_COLUMNS, dtype=dtype)
        if output_tiles:
            products = quantized_matmul.small_matmul_many(x, matrices, output_tiles)
        else:
            products = quantized_matmul.matvec_many(x, matrices)
        wide = np.array(x.astype(mx.float32))
        expected = np.concatenate([wide @ each.T for each in dense], axis=1)
        return mx.concatenate(products, axis=1), mx.array(expected)

    for num_x in range(1, quantized_matmul.MAX_MATVEC_ROWS + 1):
        name = quantized_matmul.matvec_kernel(*quantizations).name
        yield name, f"{num_x} rows", partial(multiply, num_x, 0)
    name = quantized_matmul.small_kernel(*quantizations).name
    for output_tiles in tiles:
        for num_x in (8, 16, 24, 32):
            variant = f"{num_x} rows, {output_tiles * 8} outputs"
            yield name, variant, partial(multiply, num_x, output_tiles)


def _write_checks(needs: Needs) -> Iterator[Check]:
    row_size = pool_row_size(needs.head_size, needs.value_size, needs.pool_dtype)
    shape = (4, needs.num_kv_heads, needs.block_size, row_size)

    def make(num_tokens: int) -> tuple[mx.array, mx.array, mx.array, mx.array]:
        pool = mx.zeros(shape, dtype=needs.pool_dtype)
        slots = mx.arange(num_tokens, dtype=mx.int32) * 2 + 1
        k = _random(num_tokens, needs.num_kv_heads, needs.head_size, dtype=needs.dtype)
        v = _random(num_tokens, needs.num_kv_heads, needs.value_size, dtype=needs.dtype)
        mx.eval(pool, slots, k, v)
        return pool, slots, k, v

    def write(num_tokens: int) -> tuple[mx.array, mx.array]:
        pool, slots, k, v = make(num_tokens)
        with mx.stream(mx.cpu):
            expected = reference.kv_write(pool + 0, slots, k, v)
        mx.eval(expected, kv_write(pool, slots, k, v))
        if needs.pool_dtype != INT8:
            return pool, expected
        found, wanted = (unpack_rows(rows, needs.head_size) for rows in (pool, expected))
        step = mx.abs(wanted).max() / 127  # a tie may be rounded either way
        return found, mx.where(mx.abs(found - wanted) <= step, found, wanted)

    def rope_write(num_tokens: int, interleaved: bool) -> tuple[mx.array, mx.array]:
        pool, slots, k, v = make(num_tokens)
        q = _random(num_tokens, needs.num_heads, needs.head_size, dtype=needs.dtype)
        positions = mx.arange(num_tokens, dtype=mx.int32) * 11 + 3
        inv_freq = 1.0 / (mx.arange(needs.head_size // 2) + 1.0)
        with mx.stream(mx.cpu):
            turned_q, turned_k = (
                reference.rope(x, positions, inv_freq, 1.0, interleaved) for x in (q, k)
            )
            expected = reference.kv_write(pool + 0, slots, turned_k, v)
        turned, _ = rope_kv_write(
            pool, slots, q, k, v, positions, inv_freq, interleaved=interleaved
        )
        mx.eval(turned, expected)
        both = ((turned, pool), (turned_q, expected))
        flat = [[x.reshape(-1).astype(mx.float32) for x in pair] for pair in both]
        actual, wanted = (mx.concatenate(pair) for pair in flat)
        return actual, wanted

    for num_tokens in (1, 8):
        yield f"kv_write{needs.suffix}", f"{num_tokens} tokens", partial(write, num_tokens)
        for interleaved in (False, True) if needs.pool_dtype != INT8 else ():
            variant = f"{num_tokens} tokens, {'interleaved' if interleaved else 'halves'}"
            yield "rope_kv_write", variant, partial(rope_write, num_tokens, interleaved)


def _random_pool(needs: Needs, num_blocks: int) -> mx.array:
    shape = (num_blocks, needs.num_kv_heads, needs.block_size)
    if needs.pool_dtype != INT8:
        return _random(*shape, needs.head_size + needs.value_size, dtype=needs.pool_dtype)
    k, v = (_random(*shape, d, dtype=mx.float16) for d in (needs.head_size, needs.value_size))
    with mx.stream(mx.cpu):
        return pack_rows(k, v)


def _attention_checks(needs: Needs) -> Iterator[Check]:
    def attend(context: int, num_rows: int) -> tuple[mx.array, mx.array]:
        num_blocks = -(-context // needs.block_size)
        pool = _random_pool(needs, num_blocks + 1)
        q = _random(num_rows, needs.num_heads, needs.head_size, dtype=needs.dtype)
        places: dict[str, Any] = {
            "block_tables": mx.arange(num_blocks, 0, -1, dtype=mx.int32)[None],
            "query_starts": mx.array([0, num_rows], dtype=mx.int32),
            "context_lens": mx.array([context], dtype=mx.int32),
            "scale": needs.head_size**-0.5,
        }
        with mx.stream(mx.cpu):
            expected = reference.paged_attention(
                q, pool, **places, window=None, sinks=None, soft_cap=None
            )
        return paged_attention(q, pool, **places), expected

    def attend_without_matrices(context: int, num_rows: int) -> tuple[mx.array, mx.array]:
        with trust.avoiding(matrix_kernel(needs.suffix).name):
            return attend(context, num_rows)

    fence.record(mx.zeros((8,)))
    contexts = (7 * needs.block_size, 8 * needs.block_size, 1300)
    if takes_head_sizes(needs.head_size, needs.value_size):
        matrix_rows = least_matrix_rows(needs.head_size, needs.value_size, needs.suffix)
        for num_rows, context in product(_rows_of_every_shape(needs, NEVER), contexts):
            variant = f"{num_rows} rows, {context} tokens"
            check = partial(attend_without_matrices, context, num_rows)
            yield attention_kernel(needs.suffix).name, variant, check
        for num_rows, context in product(_rows_of_every_shape(needs, matrix_rows), contexts):
            variant = f"{num_rows} rows, {context} tokens"
            if num_rows * (needs.num_heads // needs.num_kv_heads) >= matrix_rows:
                yield matrix_kernel(needs.suffix).name, variant, partial(attend, context, num_rows)
    rows = MAX_KERNEL_ROWS + 4
    yield f"gather_kv{needs.suffix}", f"{rows} rows", partial(attend, 200, rows)


def _rows_of_every_shape(needs: Needs, matrix_rows: int) -> list[int]:
    """Rows of a sequence, few but such that the kernel takes each of its shapes."""
    group = needs.num_heads // needs.num_kv_heads
    shapes = {
        choose_shape(num_rows * group, needs.head_size, matrix_rows): num_rows
        for num_rows in range(MAX_KERNEL_ROWS, 0, -1)
    }
    return sorted(shapes.values())

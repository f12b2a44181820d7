"""Products with weights kept as GGUF blocks, uint8 [N, row_bytes], exactly as in the file.

A few rows of x go through a mat-vec kernel, up to 32 through one that multiplies 8x8 matrices; for
more the weights are dequantized for `mx.matmul`. `tuning` says where one ends and the next begins.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import mlx.core as mx

from metal_kernels.metal import trust, tuning
from metal_kernels.metal.block_formats import FORMATS, block_headers
from metal_kernels.metal.kernel import Kernel, parameters

MAX_MATVEC_ROWS = 4
MAX_SMALL_ROWS = 32
MAX_MATRICES = 3
"""That one launch multiplies: queries, keys and values."""


class StoredBlocks(NamedTuple):
    """A matrix: uint8 [N, row_bytes], row-contiguous and aligned to 16 bytes, and its format."""

    blocks: mx.array
    quantization: str


def supports(quantization: str) -> bool:
    """Whether weights may stay as blocks.

    Many rows multiply dequantized weights, so that kernel has to work; and one of the others, since
    to dequantize a matrix for every token would be slower than to keep it in another form.
    """
    if quantization not in FORMATS or not trust.works(dequantize_kernel(quantization).name):
        return False
    few = (matvec_kernel(quantization), small_kernel(quantization))
    return any(trust.works(kernel.name) for kernel in few)


def matmul(x: mx.array, blocks: mx.array, quantization: str) -> mx.array:
    """x [..., K] times the transpose of the weights: [..., N] in x's dtype. Sums are float32."""
    return matmul_many(x, [StoredBlocks(blocks, quantization)])[0]


def matmul_many(x: mx.array, matrices: Sequence[StoredBlocks]) -> list[mx.array]:
    """x times the transpose of each of up to three matrices, in one launch if x has few rows."""
    rows = x.reshape(-1, x.shape[-1])
    products = _multiply(rows, matrices) if rows.size else _no_rows(matrices, x.dtype)
    return [y.reshape(*x.shape[:-1], y.shape[-1]) for y in products]


def _multiply(rows: mx.array, matrices: Sequence[StoredBlocks]) -> list[mx.array]:
    tuned = tuning.current()
    names = [matrix.quantization for matrix in matrices]
    ways = (
        (tuned.matvec_max_rows, matvec_kernel, matvec_many),
        (tuned.small_max_rows, small_kernel, small_matmul_many),
    )
    for most_rows, kernel, run in ways:
        if rows.shape[0] > most_rows:
            continue
        if trust.works(kernel(*names).name):
            return run(rows, matrices)
        if len(matrices) > 1:
            break
    if len(matrices) > 1:  # each alone has a better way
        return [_multiply(rows, [matrix])[0] for matrix in matrices]
    blocks, quantization = matrices[0]
    return [rows @ dequantize(blocks, quantization, rows.dtype).T]


def _no_rows(matrices: Sequence[StoredBlocks], dtype: mx.Dtype) -> list[mx.array]:
    """A step that samples nothing asks for no logits."""
    return [mx.zeros((0, matrix.blocks.shape[0]), dtype=dtype) for matrix in matrices]


def matvec(x: mx.array, blocks: mx.array, quantization: str) -> mx.array:
    """x [M, K] times the transpose of the weights, M from 1 to 4."""
    return matvec_many(x, [StoredBlocks(blocks, quantization)])[0]


def matvec_many(x: mx.array, matrices: Sequence[StoredBlocks]) -> list[mx.array]:
    """The same with each of several matrices."""
    tuned = tuning.current()
    num_rows, num_columns = x.shape
    _check(matrices, num_columns)
    assert 1 <= num_rows <= MAX_MATVEC_ROWS
    weight_rows, simdgroups = tuned.matvec_weight_rows, tuned.matvec_simdgroups
    outputs = [matrix.blocks.shape[0] for matrix in matrices]
    num_groups = sum(-(-n // (weight_rows * simdgroups)) for n in outputs)
    return matvec_kernel(*(matrix.quantization for matrix in matrices))(
        [x, *(matrix.blocks for matrix in matrices), parameters(num_columns, *outputs)],
        template=[
            ("T", x.dtype),
            ("M", num_rows),
            ("R", weight_rows),
            ("SIMDGROUPS", simdgroups),
        ],
        grid=(num_groups * 32, simdgroups, 1),
        threadgroup=(32, simdgroups, 1),
        outputs=[((num_rows, n), x.dtype) for n in outputs],
    )


def small_matmul(x: mx.array, blocks: mx.array, quantization: str) -> mx.array:
    """x [M, K] times the transpose of the weights, M up to 32.

    Weights and inputs are multiplied in float16 if x is, in float32 otherwise.
    """
    return small_matmul_many(x, [StoredBlocks(blocks, quantization)])[0]


def output_tiles(num_outputs: int) -> int:
    """Tiles of eight outputs a threadgroup of the matrix kernel makes."""
    return 4 if num_outputs >= tuning.current().small_wide_outputs else 2


def small_matmul_many(
    x: mx.array, matrices: Sequence[StoredBlocks], num_tiles: int | None = None
) -> list[mx.array]:
    """The same with each of several matrices; `num_tiles` overrides `output_tiles`, for checks."""
    tuned = tuning.current()
    num_rows, num_columns = x.shape
    _check(matrices, num_columns)
    assert 1 <= num_rows <= MAX_SMALL_ROWS
    outputs = [matrix.blocks.shape[0] for matrix in matrices]
    num_tiles = num_tiles or output_tiles(sum(outputs))
    num_groups = sum(-(-n // (num_tiles * 8)) for n in outputs)
    return small_kernel(*(matrix.quantization for matrix in matrices))(
        [x, *(matrix.blocks for matrix in matrices), parameters(num_columns, num_rows, *outputs)],
        template=[
            ("T", x.dtype),
            ("F", mx.float16 if x.dtype == mx.float16 else mx.float32),
            ("MT", -(-num_rows // 8)),
            ("NT", num_tiles),
            ("SIMDGROUPS", tuned.small_simdgroups),
        ],
        grid=(num_groups * 32, tuned.small_simdgroups, 1),
        threadgroup=(32, tuned.small_simdgroups, 1),
        outputs=[((num_rows, n), x.dtype) for n in outputs],
    )


def dequantize(blocks: mx.array, quantization: str, dtype: mx.Dtype) -> mx.array:
    """All weights [N, K] in `dtype`."""
    return take_rows(blocks, quantization, mx.arange(blocks.shape[0], dtype=mx.int32), dtype)


def take_rows(blocks: mx.array, quantization: str, ids: mx.array, dtype: mx.Dtype) -> mx.array:
    """Rows [..., K] of the weights in `dtype`; ids must lie in [0, N)."""
    form = FORMATS[quantization]
    num_columns = blocks.shape[1] // form.bytes * form.values
    num_slices = num_columns // form.slice_values
    flat = ids.reshape(-1).astype(mx.int32)
    y = dequantize_kernel(quantization)(
        [blocks, flat, parameters(num_columns)],
        template=[("T", dtype)],
        grid=(num_slices, flat.size, 1),
        threadgroup=(min(num_slices, 64), 1, 1),
        outputs=[((flat.size, num_columns), dtype)],
    )[0]
    return y.reshape(*ids.shape, num_columns)


@cache
def matvec_kernel(*quantizations: str) -> Kernel:
    """For matrices of these formats, in this order."""
    return _kernel("quantized_matvec", ("unroll",), "matmul/matvec", quantizations)


@cache
def small_kernel(*quantizations: str) -> Kernel:
    """For matrices of these formats, in this order."""
    headers = ("unroll", "simdgroup_layout")
    return _kernel("quantized_matmul_small", headers, "matmul/small", quantizations)


def _kernel(
    body: str, headers: tuple[str, ...], function: str, quantizations: tuple[str, ...]
) -> Kernel:
    assert 1 <= len(quantizations) <= MAX_MATRICES
    formats = dict.fromkeys(name for q in quantizations for name in block_headers(q))
    numbered = range(len(quantizations))
    return Kernel(
        name="_".join((body, *quantizations)),
        body=body,
        inputs=("x", *(f"w{i}" for i in numbered), "sizes"),
        outputs=tuple(f"y{i}" for i in numbered),
        headers=(*headers, *formats, function),
        definitions=(
            f"#define MATRICES {len(quantizations)}",
            *(f"typedef {q} Blocks{i};" for i, q in enumerate(quantizations)),
        ),
    )


@cache
def dequantize_kernel(quantization: str) -> Kernel:
    return Kernel(
        name=f"dequantize_rows_{quantization}",
        body="dequantize_rows",
        inputs=("w", "ids", "sizes"),
        outputs=("y",),
        headers=("unroll", *block_headers(quantization)),
        definitions=(f"typedef {quantization} Blocks;",),
    )


def _check(matrices: Sequence[StoredBlocks], num_columns: int) -> None:
    for blocks, quantization in matrices:
        form = FORMATS[quantization]
        row_bytes = num_columns // form.values * form.bytes
        assert blocks.dtype == mx.uint8
        assert blocks.shape[1] == row_bytes, f"{quantization} {blocks.shape}, {num_columns} columns"

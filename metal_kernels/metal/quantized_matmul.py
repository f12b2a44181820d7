"""Products with weights kept as GGUF blocks, uint8 [N, row_bytes], exactly as in the file.

One to four rows of x go through a mat-vec kernel, up to 32 through one that multiplies 8x8
matrices; for more the weights are dequantized for `mx.matmul`.
"""

from functools import cache

import mlx.core as mx

from metal_kernels.metal import trust
from metal_kernels.metal.block_formats import FORMATS, block_headers
from metal_kernels.metal.kernel import Kernel, parameters

MAX_MATVEC_ROWS = 4
MAX_SMALL_ROWS = 32
# Measured nowhere yet; chosen for registers in use and threadgroups in flight.
_MATVEC_WEIGHT_ROWS = 4
_MATVEC_SIMDGROUPS = 2
_SMALL_SIMDGROUPS = 4
_WIDE_OUTPUTS = 4096


def supports(quantization: str) -> bool:
    """Whether weights may stay as blocks: dequantizing them is what everything falls back to."""
    return quantization in FORMATS and trust.works(dequantize_kernel(quantization).name)


def matmul(x: mx.array, blocks: mx.array, quantization: str) -> mx.array:
    """x [..., K] times the transpose of the weights: [..., N] in x's dtype.

    blocks is row-contiguous and aligned to 16 bytes. Sums are float32.
    """
    num_columns = x.shape[-1]
    rows = x.reshape(-1, num_columns)
    if not rows.size:  # a step that samples nothing asks for no logits
        return mx.zeros((*x.shape[:-1], blocks.shape[0]), dtype=x.dtype)
    if rows.shape[0] <= MAX_MATVEC_ROWS and trust.works(matvec_kernel(quantization).name):
        y = matvec(rows, blocks, quantization)
    elif rows.shape[0] <= MAX_SMALL_ROWS and trust.works(small_kernel(quantization).name):
        y = small_matmul(rows, blocks, quantization)
    else:
        y = rows @ dequantize(blocks, quantization, x.dtype).T
    return y.reshape(*x.shape[:-1], blocks.shape[0])


def matvec(x: mx.array, blocks: mx.array, quantization: str) -> mx.array:
    """x [M, K] times the transpose of the weights, M from 1 to 4."""
    (num_rows, num_columns), num_outputs = x.shape, blocks.shape[0]
    _check(blocks, quantization, num_columns)
    assert 1 <= num_rows <= MAX_MATVEC_ROWS
    groups = -(-num_outputs // (_MATVEC_WEIGHT_ROWS * _MATVEC_SIMDGROUPS))
    return matvec_kernel(quantization)(
        [x, blocks, parameters(num_columns, num_outputs)],
        template=[("T", x.dtype), ("M", num_rows), ("R", _MATVEC_WEIGHT_ROWS)],
        grid=(groups * 32, _MATVEC_SIMDGROUPS, 1),
        threadgroup=(32, _MATVEC_SIMDGROUPS, 1),
        outputs=[((num_rows, num_outputs), x.dtype)],
    )[0]


def small_matmul(x: mx.array, blocks: mx.array, quantization: str) -> mx.array:
    """x [M, K] times the transpose of the weights, M up to 32.

    Weights and inputs are multiplied in float16 if x is, in float32 otherwise.
    """
    (num_rows, num_columns), num_outputs = x.shape, blocks.shape[0]
    _check(blocks, quantization, num_columns)
    assert 1 <= num_rows <= MAX_SMALL_ROWS
    output_tiles = 4 if num_outputs >= _WIDE_OUTPUTS else 2
    groups = -(-num_outputs // (output_tiles * 8))
    return small_kernel(quantization)(
        [x, blocks, parameters(num_columns, num_outputs, num_rows)],
        template=[
            ("T", x.dtype),
            ("F", mx.float16 if x.dtype == mx.float16 else mx.float32),
            ("MT", -(-num_rows // 8)),
            ("NT", output_tiles),
            ("SIMDGROUPS", _SMALL_SIMDGROUPS),
        ],
        grid=(groups * 32, _SMALL_SIMDGROUPS, 1),
        threadgroup=(32, _SMALL_SIMDGROUPS, 1),
        outputs=[((num_rows, num_outputs), x.dtype)],
    )[0]


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
def matvec_kernel(quantization: str) -> Kernel:
    return Kernel(
        name=f"quantized_matvec_{quantization}",
        body="quantized_matvec",
        inputs=("x", "w", "sizes"),
        outputs=("y",),
        headers=block_headers(quantization),
    )


@cache
def small_kernel(quantization: str) -> Kernel:
    return Kernel(
        name=f"quantized_matmul_small_{quantization}",
        body="quantized_matmul_small",
        inputs=("x", "w", "sizes"),
        outputs=("y",),
        headers=("simdgroup_layout", *block_headers(quantization)),
    )


@cache
def dequantize_kernel(quantization: str) -> Kernel:
    return Kernel(
        name=f"dequantize_rows_{quantization}",
        body="dequantize_rows",
        inputs=("w", "ids", "sizes"),
        outputs=("y",),
        headers=block_headers(quantization),
    )


def _check(blocks: mx.array, quantization: str, num_columns: int) -> None:
    form = FORMATS[quantization]
    row_bytes = num_columns // form.values * form.bytes
    assert blocks.dtype == mx.uint8
    assert blocks.shape[1] == row_bytes, f"{quantization} {blocks.shape}, {num_columns} columns"

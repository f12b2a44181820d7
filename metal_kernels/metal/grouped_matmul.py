"""Products of rows with matrices picked by id, the weights kept as GGUF blocks.

Few rows go through a mat-vec kernel, each row reading its matrix; for more the whole stack is
dequantized for MLX's own gathered product.
"""

from functools import cache

import mlx.core as mx

from metal_kernels.metal import quantized_matmul, trust, tuning
from metal_kernels.metal.block_formats import FORMATS, block_headers
from metal_kernels.metal.kernel import Kernel, parameters

MAX_MATVEC_ROWS = 128
"""Measured nowhere yet: eight experts for each of sixteen tokens."""


def matmul(
    x: mx.array, blocks: mx.array, ids: mx.array, quantization: str, num_matrices: int
) -> mx.array:
    """x [X, K] times the matrices that ids [R] name, blocks uint8 [E * N, row_bytes]: [R, N]."""
    if ids.size <= MAX_MATVEC_ROWS and trust.works(matvec_kernel(quantization).name):
        return matvec(x, blocks, ids, quantization, num_matrices)
    dense = quantized_matmul.dequantize(blocks, quantization, x.dtype)
    stack = dense.reshape(num_matrices, -1, x.shape[1]).swapaxes(-1, -2)
    rows = mx.arange(ids.size) // (ids.size // x.shape[0])
    return mx.gather_mm(x[:, None], stack, lhs_indices=rows, rhs_indices=ids)[:, 0]


def matvec(
    x: mx.array, blocks: mx.array, ids: mx.array, quantization: str, num_matrices: int
) -> mx.array:
    """The same by the kernel, for any number of rows."""
    tuned = tuning.current()
    form, num_columns = FORMATS[quantization], x.shape[1]
    num_outputs = blocks.shape[0] // num_matrices
    assert blocks.dtype == mx.uint8
    assert blocks.shape[1] == num_columns // form.values * form.bytes
    weight_rows, simdgroups = tuned.matvec_weight_rows, tuned.matvec_simdgroups
    num_groups = -(-num_outputs // (weight_rows * simdgroups))
    sizes = parameters(num_columns, num_outputs, ids.size // x.shape[0])
    return matvec_kernel(quantization)(
        [x, blocks, ids.astype(mx.int32), sizes],
        template=[("T", x.dtype), ("R", weight_rows), ("SIMDGROUPS", simdgroups)],
        grid=(num_groups * 32, simdgroups, ids.size),
        threadgroup=(32, simdgroups, 1),
        outputs=[((ids.size, num_outputs), x.dtype)],
    )[0]


@cache
def matvec_kernel(quantization: str) -> Kernel:
    return Kernel(
        name=f"grouped_matvec_{quantization}",
        body="grouped_matvec",
        inputs=("x", "w", "ids", "sizes"),
        outputs=("y",),
        headers=("unroll", *block_headers(quantization), "matmul/matvec"),
        definitions=(f"typedef {quantization} Blocks;",),
    )

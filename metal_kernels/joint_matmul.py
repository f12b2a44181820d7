"""Several matrices times one input, in a single launch where the back end has one for it."""

from collections.abc import Sequence

import mlx.core as mx

from metal_kernels.backend import backend, cpu
from metal_kernels.metal import quantized_matmul as metal_blocks
from metal_kernels.quantized import QuantizedMatrix, matmul


def can_join(matrices: Sequence[QuantizedMatrix]) -> bool:
    """Whether `matmul_many` does better than one product after the other."""
    if len(matrices) < 2 or len({matrix.num_columns for matrix in matrices}) != 1:
        return False
    if backend() == "metal":
        are_blocks = all(isinstance(matrix.storage, mx.array) for matrix in matrices)
        return are_blocks and len(matrices) <= metal_blocks.MAX_MATRICES
    return backend() == "cpu"


def matmul_many(x: mx.array, matrices: Sequence[QuantizedMatrix]) -> list[mx.array]:
    """x [..., K] times the transpose of each matrix, as `quantized.matmul` gives them."""
    if not can_join(matrices) or x.size == 0:
        return [matmul(x, matrix) for matrix in matrices]
    if backend() == "cpu":
        return cpu.matmul_many(x, [matrix.storage for matrix in matrices])
    stored = [metal_blocks.StoredBlocks(m.storage, m.quantization) for m in matrices]
    return metal_blocks.matmul_many(x, stored)

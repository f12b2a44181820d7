"""Several matrices times one input, in a single launch where the back end has one for it."""

from collections.abc import Sequence

import mlx.core as mx

from metal_kernels.backend import backend
from metal_kernels.metal import quantized_matmul as metal_blocks
from metal_kernels.quantized import QuantizedMatrix, matmul


def can_join(matrices: Sequence[QuantizedMatrix]) -> bool:
    """Whether `matmul_many` does better than one product after the other."""
    return (
        backend() == "metal"
        and 2 <= len(matrices) <= metal_blocks.MAX_MATRICES
        and len({matrix.num_columns for matrix in matrices}) == 1
        and all(isinstance(matrix.storage, mx.array) for matrix in matrices)
    )


def matmul_many(x: mx.array, matrices: Sequence[QuantizedMatrix]) -> list[mx.array]:
    """x [..., K] times the transpose of each matrix, as `quantized.matmul` gives them."""
    if not can_join(matrices):
        return [matmul(x, matrix) for matrix in matrices]
    stored = [metal_blocks.StoredBlocks(m.storage, m.quantization) for m in matrices]
    return metal_blocks.matmul_many(x, stored)

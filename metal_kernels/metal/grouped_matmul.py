"""Products of rows with matrices picked by id, the weights kept as GGUF blocks."""

import mlx.core as mx

from metal_kernels.metal import quantized_matmul


def matmul(
    x: mx.array, blocks: mx.array, ids: mx.array, quantization: str, num_matrices: int
) -> mx.array:
    """x [X, K] times the matrices that ids [R] name, blocks uint8 [E * N, row_bytes]: [R, N]."""
    dense = quantized_matmul.dequantize(blocks, quantization, x.dtype)
    stack = dense.reshape(num_matrices, -1, x.shape[1]).swapaxes(-1, -2)
    rows = mx.arange(ids.size) // (ids.size // x.shape[0])
    return mx.gather_mm(x[:, None], stack, lhs_indices=rows, rhs_indices=ids)[:, 0]

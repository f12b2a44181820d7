"""Stacks of quantized matrices and products in which each row of x meets a matrix of its own.

The experts of a layer are such a stack, and so are projections that every head has for itself.
Storage by back end is as in `quantized`.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from metal_kernels import affine, quantized, reference
from metal_kernels.backend import backend, cpu
from metal_kernels.metal import grouped_matmul as metal_grouped
from metal_kernels.metal import mapping
from metal_kernels.metal import quantized_matmul as metal_blocks

Bytes = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class MatrixStack:
    """E weight matrices of N rows (outputs) and K columns (inputs), as the back end keeps them."""

    quantization: str
    num_matrices: int
    num_rows: int
    num_columns: int
    num_bytes: int
    """Memory they take here, which may differ from their size in the file."""
    storage: Any
    """For this package only."""

    @property
    def num_parameters(self) -> int:
        """Weights in the stack."""
        return self.num_matrices * self.num_rows * self.num_columns


def load_blocks(quantization: str, blocks: Bytes, num_columns: int) -> MatrixStack:
    """A stack from GGUF blocks, uint8 [E, N, row_bytes], which may be a view of a memory map.

    ValueError if the type is unknown or sizes disagree.
    """
    quantized.check_blocks(quantization, blocks.reshape(-1, blocks.shape[-1]), num_columns)
    num_matrices, num_rows, _ = blocks.shape
    sizes = (quantization, num_matrices, num_rows, num_columns)
    if backend() == "cpu":
        stack = cpu.pack_gguf_stack(quantization, blocks, num_columns)
        quantized.forget_pages(blocks)
        return MatrixStack(*sizes, stack.num_bytes, stack)
    flat = blocks.reshape(-1, blocks.shape[-1])
    if backend() == "metal" and metal_blocks.supports(quantization):
        stored = mapping.bind(flat)
        return MatrixStack(*sizes, stored.nbytes, stored)
    storage = quantized.portable_storage(quantization, flat, num_columns)
    stacked = affine.reshaped(storage, (num_matrices, num_rows))
    return MatrixStack(*sizes, stacked.num_bytes, stacked)


def load_affine(
    weight: mx.array, scales: mx.array, biases: mx.array, *, group_size: int, bits: int
) -> MatrixStack:
    """A stack from MLX's affine triple: uint32 [E, N, K*bits/32], scales and biases [E, N, K/g]."""
    num_matrices, num_rows, words = weight.shape
    quantized.check_affine(weight, scales, biases, group_size=group_size, bits=bits)
    sizes = (f"affine{bits}_g{group_size}", num_matrices, num_rows, words * 32 // bits)
    if backend() == "cpu":
        stack = cpu.pack_affine_stack(weight, scales, biases, bits, group_size)
        return MatrixStack(*sizes, stack.num_bytes, stack)
    storage: affine.Storage = affine.AffineMatrix(weight, scales, biases, group_size, bits)
    if backend() == "reference":
        storage = affine.DenseMatrix(affine.take_rows(storage, mx.arange(num_matrices)))
    return MatrixStack(*sizes, storage.num_bytes, storage)


def matmul(x: mx.array, w: MatrixStack, ids: mx.array) -> mx.array:
    """Products of x [X, K] with the matrices `ids` int32 [R] name: [R, N] in x's dtype.

    R is a multiple of X: row r of the result is x[r // (R / X)] times the transpose of w[ids[r]].
    Ids must lie in [0, E). On the CPU a matrix is read once for all its rows, and a row's result
    depends on nothing but the row.
    """
    assert x.ndim == 2, x.shape
    assert x.shape[1] == w.num_columns, f"{x.shape} @ [{w.num_rows}, {w.num_columns}]^T"
    assert ids.ndim == 1, ids.shape
    assert ids.size % max(x.shape[0], 1) == 0, f"{ids.size} ids for {x.shape[0]} rows"
    if not ids.size:
        return mx.zeros((0, w.num_rows), x.dtype)
    if backend() == "cpu":
        return cpu.grouped_matmul(x, w.storage, ids)
    if isinstance(w.storage, mx.array):
        return metal_grouped.matmul(x, w.storage, ids, w.quantization, w.num_matrices)
    if backend() == "metal":
        return affine.grouped_matmul(x, w.storage, ids)
    return reference.grouped_matmul(x, w.storage.weight, ids)


def matmul_transposed(y: mx.array, w: MatrixStack, ids: mx.array) -> mx.array:
    """y [R, N] times the matrices `ids` [R] name: [R, K], what a gradient needs."""
    if backend() == "cpu":
        return cpu.grouped_matmul_transposed(y, w.storage, ids)
    dense = dequantize(w).astype(y.dtype)
    return mx.gather_mm(y[:, None], dense, rhs_indices=ids)[:, 0]


def dequantize(w: MatrixStack) -> mx.array:
    """All matrices as float32 [E, N, K]."""
    if backend() == "cpu":
        rows = mx.arange(w.num_rows)
        parts = [cpu.matrix_at(w.storage, i) for i in range(w.num_matrices)]
        return mx.stack([cpu.take_rows(part, rows) for part in parts])
    if isinstance(w.storage, mx.array):
        dense = metal_blocks.dequantize(w.storage, w.quantization, mx.float32)
        return dense.reshape(w.num_matrices, w.num_rows, w.num_columns)
    return affine.take_rows(w.storage, mx.arange(w.num_matrices))

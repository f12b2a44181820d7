"""Quantized weight matrices: GGUF blocks or MLX affine in, products with activations out.

On the CPU the blocks are repacked without loss into tiles. Metal's kernels read them as they lie in
the file; what they cannot read becomes MLX affine where that is lossless, and dense otherwise (see
`affine`). The reference keeps float32.
"""

import mmap
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from metal_kernels import affine, reference
from metal_kernels.backend import backend, cpu
from metal_kernels.metal import mapping
from metal_kernels.metal import quantized_matmul as metal_blocks

K_QUANTS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
PLAIN_QUANTS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
CODEBOOK_QUANTS = ("IQ4_NL", "IQ4_XS", "MXFP4")
DENSE = ("F16", "BF16", "F32")
GGUF_QUANTIZATIONS = frozenset(K_QUANTS + PLAIN_QUANTS + CODEBOOK_QUANTS + DENSE)
AFFINE_BITS = (2, 3, 4, 5, 6, 8)
AFFINE_GROUP_SIZES = (32, 64, 128)


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A weight matrix of N rows (outputs) and K columns (inputs), as the back end keeps it."""

    quantization: str
    """ "Q4_K", "F16", ..., or "affine4_g64": bits and group size."""
    num_rows: int
    num_columns: int
    num_bytes: int
    """Memory it takes here, which may differ from its size in the file."""
    storage: Any
    """For this package only."""

    @property
    def num_parameters(self) -> int:
        """Weights in the matrix."""
        return self.num_rows * self.num_columns


def load_blocks(
    quantization: str, blocks: np.ndarray[Any, Any], num_columns: int
) -> QuantizedMatrix:
    """A matrix from GGUF blocks, uint8 [N, row_bytes], which may be a memory map.

    The blocks are read before this returns, on Metal perhaps only mapped. ValueError if the type
    is unknown or sizes disagree.
    """
    check_blocks(quantization, blocks, num_columns)
    if backend() == "cpu":
        matrix = cpu.pack_gguf(quantization, blocks, num_columns)
        forget_pages(blocks)
        return QuantizedMatrix(quantization, blocks.shape[0], num_columns, matrix.num_bytes, matrix)
    if backend() == "metal" and metal_blocks.supports(quantization):
        stored = mapping.bind(blocks)
        return QuantizedMatrix(quantization, blocks.shape[0], num_columns, stored.nbytes, stored)
    storage = portable_storage(quantization, blocks, num_columns)
    return QuantizedMatrix(quantization, blocks.shape[0], num_columns, storage.num_bytes, storage)


def check_blocks(quantization: str, blocks: np.ndarray[Any, Any], num_columns: int) -> None:
    """ValueError unless `blocks` are rows of a known type with so many columns."""
    if quantization not in GGUF_QUANTIZATIONS:
        known = ", ".join(sorted(GGUF_QUANTIZATIONS))
        raise ValueError(f"unknown quantization {quantization}; known: {known}")
    expected = reference.row_bytes(quantization, num_columns)
    if blocks.ndim != 2 or blocks.dtype != np.uint8 or blocks.shape[1] != expected:
        raise ValueError(
            f"{quantization} rows of {num_columns} columns take {expected} bytes; "
            f"got {blocks.dtype} of shape {blocks.shape}"
        )


def portable_storage(
    quantization: str, blocks: np.ndarray[Any, Any], num_columns: int
) -> affine.Storage:
    """Blocks in a form MLX's own ops multiply with; float32 for the reference."""
    if backend() == "metal":
        return affine.from_blocks(quantization, blocks, num_columns)
    dense = reference.dequantize_blocks(quantization, blocks, num_columns)
    return affine.DenseMatrix(mx.array(dense))


def forget_pages(blocks: np.ndarray[Any, Any]) -> None:
    """Let go of the pages of a read-only memory map, so that a model is not resident twice."""
    base: Any = blocks
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return
        base = base.base
    if not isinstance(base, mmap.mmap) or not blocks.flags.c_contiguous:
        return
    begin = blocks.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (begin + blocks.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        base.madvise(mmap.MADV_DONTNEED, first, last - first)


def load_affine(
    weight: mx.array, scales: mx.array, biases: mx.array, *, group_size: int, bits: int
) -> QuantizedMatrix:
    """A matrix from MLX's affine triple: weight uint32 [N, K*bits/32], scales, biases [N, K/g]."""
    check_affine(weight, scales, biases, group_size=group_size, bits=bits)
    num_rows, num_columns = weight.shape[0], weight.shape[1] * 32 // bits
    name = f"affine{bits}_g{group_size}"
    if backend() == "cpu":
        matrix = cpu.pack_affine(weight, scales, biases, bits, group_size)
        return QuantizedMatrix(name, num_rows, num_columns, matrix.num_bytes, matrix)
    storage: affine.Storage = affine.AffineMatrix(weight, scales, biases, group_size, bits)
    if backend() == "reference":
        storage = affine.DenseMatrix(affine.take_rows(storage, mx.arange(num_rows)))
    return QuantizedMatrix(name, num_rows, num_columns, storage.num_bytes, storage)


def check_affine(
    weight: mx.array, scales: mx.array, biases: mx.array, *, group_size: int, bits: int
) -> None:
    """ValueError unless the triple, of any number of dimensions, fits together."""
    if bits not in AFFINE_BITS or group_size not in AFFINE_GROUP_SIZES:
        raise ValueError(
            f"{bits} bits in groups of {group_size}: bits must be one of {AFFINE_BITS}, "
            f"the group size one of {AFFINE_GROUP_SIZES}"
        )
    expected = (*weight.shape[:-1], weight.shape[-1] * 32 // bits // group_size)
    if weight.dtype != mx.uint32 or scales.shape != expected or biases.shape != expected:
        raise ValueError(
            f"affine weight {weight.dtype} {weight.shape} needs scales and biases {expected}; "
            f"got {scales.shape} and {biases.shape}"
        )


def matmul(x: mx.array, w: QuantizedMatrix) -> mx.array:
    """x [..., K] times the transpose of w: [..., N] in x's dtype.

    A row's result depends on nothing but the row: not on the rows beside it nor on threads. On
    Metal the number of rows chooses the kernel, and with it the rounding.
    """
    assert x.shape[-1] == w.num_columns, f"{x.shape} @ [{w.num_rows}, {w.num_columns}]^T"
    if x.size == 0:
        return mx.zeros((*x.shape[:-1], w.num_rows), x.dtype)
    if backend() == "cpu":
        return cpu.matmul(x, w.storage)
    if isinstance(w.storage, mx.array):
        return metal_blocks.matmul(x, w.storage, w.quantization)
    return affine.matmul(x, w.storage)


def take_rows(w: QuantizedMatrix, ids: mx.array) -> mx.array:
    """Rows of w as float32 [..., K], for embeddings. ids must lie in [0, N)."""
    if backend() == "cpu":
        return cpu.take_rows(w.storage, ids)
    if isinstance(w.storage, mx.array):
        return metal_blocks.take_rows(w.storage, w.quantization, ids, mx.float32)
    return affine.take_rows(w.storage, ids)


def dequantize(w: QuantizedMatrix) -> mx.array:
    """The whole matrix as float32 [N, K]."""
    return take_rows(w, mx.arange(w.num_rows))

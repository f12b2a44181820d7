"""GGUF blocks as MLX affine matrices, for back ends that have MLX's own quantized matmul.

Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 keep their float16 scales and are exact. Q4_K and Q5_K multiply two
scales into one float16 (2^-11 relative, far below the step of the codes). The rest has no affine
form (scales per 16 columns, or code books) and becomes dense float16.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from metal_kernels import reference

Bytes = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class AffineMatrix:
    """MLX's affine triple."""

    weight: mx.array
    scales: mx.array
    biases: mx.array
    group_size: int
    bits: int

    @property
    def num_bytes(self) -> int:
        """Memory of all three."""
        return int(self.weight.nbytes + self.scales.nbytes + self.biases.nbytes)


@dataclass(frozen=True, eq=False)
class DenseMatrix:
    """A float matrix [N, K]."""

    weight: mx.array

    @property
    def num_bytes(self) -> int:
        """Memory of the matrix."""
        return int(self.weight.nbytes)


Storage = AffineMatrix | DenseMatrix


def from_blocks(quantization: str, blocks: Bytes, num_columns: int) -> Storage:
    """The nearest MLX matrix to GGUF blocks uint8 [N, row_bytes]."""
    if quantization in _PARTS:
        codes, scales, biases, bits = _PARTS[quantization](blocks.reshape(blocks.shape[0], -1))
        packed = mx.array(_pack_codes(codes.reshape(blocks.shape[0], num_columns), bits))
        rows = blocks.shape[0]
        return AffineMatrix(
            packed, mx.array(scales.reshape(rows, -1)), mx.array(biases.reshape(rows, -1)), 32, bits
        )
    dense = mx.array(reference.dequantize_blocks(quantization, blocks, num_columns))
    return DenseMatrix(dense.astype(_DENSE_DTYPES.get(quantization, mx.float16)))


def reshaped(w: Storage, shape: tuple[int, ...]) -> Storage:
    """The same matrix with its rows in several dimensions."""
    if isinstance(w, DenseMatrix):
        return DenseMatrix(w.weight.reshape(*shape, -1))
    weight, scales, biases = (part.reshape(*shape, -1) for part in (w.weight, w.scales, w.biases))
    return AffineMatrix(weight, scales, biases, w.group_size, w.bits)


def matmul(x: mx.array, w: Storage) -> mx.array:
    """x [..., K] times the transpose of w, in x's dtype."""
    if isinstance(w, DenseMatrix):
        return (x.astype(w.weight.dtype) @ w.weight.T).astype(x.dtype)
    out = mx.quantized_matmul(
        x.astype(w.scales.dtype), w.weight, w.scales, w.biases, True, w.group_size, w.bits
    )
    return out.astype(x.dtype)


def grouped_matmul(x: mx.array, w: Storage, ids: mx.array) -> mx.array:
    """See `grouped.matmul`; w has a dimension more."""
    repeats = ids.size // x.shape[0]
    rows = mx.arange(ids.size) // repeats
    if isinstance(w, DenseMatrix):
        dense = w.weight.swapaxes(-1, -2)
        left = x.astype(w.weight.dtype)[:, None]
        out = mx.gather_mm(left, dense, lhs_indices=rows, rhs_indices=ids)
    else:
        out = mx.gather_qmm(
            x.astype(w.scales.dtype)[:, None],
            w.weight,
            w.scales,
            w.biases,
            lhs_indices=rows,
            rhs_indices=ids,
            transpose=True,
            group_size=w.group_size,
            bits=w.bits,
        )
    return out[:, 0].astype(x.dtype)


def take_rows(w: Storage, ids: mx.array) -> mx.array:
    """Rows as float32."""
    if isinstance(w, DenseMatrix):
        return w.weight[ids].astype(mx.float32)
    parts = (w.weight[ids], w.scales[ids].astype(mx.float32), w.biases[ids].astype(mx.float32))
    return mx.dequantize(*parts, w.group_size, w.bits)


_DENSE_DTYPES = {"F32": mx.float32, "BF16": mx.bfloat16}


def _pack_codes(codes: Bytes, bits: int) -> Bytes:
    """uint8 codes [N, K] to MLX's little-endian bit stream, uint32 [N, K*bits/32]."""
    if bits == 8:
        return np.ascontiguousarray(codes).view(np.uint32)
    if bits == 4:
        return np.ascontiguousarray(codes[:, ::2] | (codes[:, 1::2] << 4)).view(np.uint32)
    planes = np.unpackbits(codes[..., None], axis=-1, count=bits, bitorder="little")
    stream = np.packbits(planes.reshape(codes.shape[0], -1), axis=-1, bitorder="little")
    return np.ascontiguousarray(stream).view(np.uint32)


Parts = tuple[Bytes, Bytes, Bytes, int]


def _half(field: Bytes) -> Bytes:
    return np.ascontiguousarray(field).view(np.float16)


def _nibbles(field: Bytes) -> Bytes:
    return np.concatenate([field & 15, field >> 4], axis=-1)


def _fifth_bits(field: Bytes) -> Bytes:
    bits: Bytes = np.unpackbits(np.ascontiguousarray(field), axis=-1, bitorder="little")
    return bits << 4


def _q4_0(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 18)
    d = _half(b[:, :2])
    return _nibbles(b[:, 2:]), d, d * np.float16(-8), 4


def _q4_1(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 20)
    return _nibbles(b[:, 4:]), _half(b[:, :2]), _half(b[:, 2:4]), 4


def _q5_0(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 22)
    d = _half(b[:, :2])
    return _nibbles(b[:, 6:]) | _fifth_bits(b[:, 2:6]), d, d * np.float16(-16), 5


def _q5_1(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 24)
    codes = _nibbles(b[:, 8:]) | _fifth_bits(b[:, 4:8])
    return codes, _half(b[:, :2]), _half(b[:, 2:4]), 5


def _q8_0(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 34)
    d = _half(b[:, :2])
    return b[:, 2:] ^ 0x80, d, d * np.float16(-128), 8


def _k_scales(b: Bytes) -> tuple[Bytes, Bytes]:
    """Scales and biases float16 [blocks, 8] of Q4_K and Q5_K."""
    d, dmin = _half(b[:, :2]).astype(np.float32), _half(b[:, 2:4]).astype(np.float32)
    low, mid, high = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=-1)
    mins = np.concatenate([mid & 63, (high >> 4) | ((mid >> 6) << 4)], axis=-1)
    return (d * scales).astype(np.float16), (-dmin * mins).astype(np.float16)


def _q4_k(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 144)
    return _nibbles(b[:, 16:].reshape(-1, 4, 32)), *_k_scales(b), 4


def _q5_k(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 176)
    low = _nibbles(b[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    high = (b[:, None, 16:48] >> shifts) & 1
    return low | (high << 4), *_k_scales(b), 5


_PARTS = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
}

"""GGUF blocks in MLX's own quantized forms, for where none of our kernels reads them.

Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and IQ4_NL (8 bits) keep their float16 scales, MXFP4 is MLX's format of
that name: exact. Q4_K, Q5_K and IQ4_XS (8 bits) multiply two scales into one: exact in float32,
off by 2^-11 in float16, far below the step of the codes. The other K-quants have a scale per 16
columns, which MLX does not know, and become dense float16.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from metal_kernels import reference

Bytes = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class AffineMatrix:
    """MLX's packed codes and their scales; biases go with mode "affine" only."""

    weight: mx.array
    scales: mx.array
    biases: mx.array | None
    group_size: int
    bits: int
    mode: Literal["affine", "mxfp4"] = "affine"

    @property
    def parts(self) -> tuple[mx.array, ...]:
        """All arrays, in the order in which MLX takes them."""
        found = (self.weight, self.scales, self.biases)
        return tuple(part for part in found if part is not None)

    @property
    def num_bytes(self) -> int:
        """Memory of all parts."""
        return sum(int(part.nbytes) for part in self.parts)

    def with_parts(self, parts: Iterable[mx.array]) -> "AffineMatrix":
        """The same form over other arrays."""
        weight, scales, *biases = parts
        return replace(self, weight=weight, scales=scales, biases=biases[0] if biases else None)

    def multiplies_in(self, dtype: mx.Dtype) -> mx.Dtype:
        """What inputs of this type are multiplied as: MLX promotes them to the scales' type."""
        return dtype if self.mode == "mxfp4" else self.scales.dtype


@dataclass(frozen=True, eq=False)
class DenseMatrix:
    """A float matrix [N, K]."""

    weight: mx.array

    @property
    def num_bytes(self) -> int:
        """Memory of the matrix."""
        return int(self.weight.nbytes)


Storage = AffineMatrix | DenseMatrix


def from_blocks(
    quantization: str, blocks: Bytes, num_columns: int, scale_dtype: mx.Dtype = mx.float16
) -> Storage:
    """The nearest MLX matrix to GGUF blocks uint8 [N, row_bytes].

    Scales in float32 make every form that has some exact, at more memory and a slower product.
    """
    num_rows = blocks.shape[0]
    if quantization == "MXFP4":
        return _mxfp4(blocks, num_columns)
    if quantization in _PARTS:
        codes, *numbers, bits = _PARTS[quantization](blocks.reshape(num_rows, -1))
        packed = mx.array(_pack_codes(codes.reshape(num_rows, num_columns), bits))
        scales, biases = (
            mx.array(part.reshape(num_rows, -1)).astype(scale_dtype) for part in numbers
        )
        return AffineMatrix(packed, scales, biases, 32, bits)
    dense = mx.array(reference.dequantize_blocks(quantization, blocks, num_columns))
    return DenseMatrix(dense.astype(_DENSE_DTYPES.get(quantization, mx.float16)))


def reshaped(w: Storage, shape: tuple[int, ...]) -> Storage:
    """The same matrix with its rows in several dimensions."""
    if isinstance(w, DenseMatrix):
        return DenseMatrix(w.weight.reshape(*shape, -1))
    return w.with_parts(part.reshape(*shape, -1) for part in w.parts)


def matmul(x: mx.array, w: Storage) -> mx.array:
    """x [..., K] times the transpose of w, in x's dtype."""
    if isinstance(w, DenseMatrix):
        return (x.astype(w.weight.dtype) @ w.weight.T).astype(x.dtype)
    wide = x.astype(w.multiplies_in(x.dtype))
    out = mx.quantized_matmul(
        wide, w.weight, w.scales, w.biases, True, w.group_size, w.bits, mode=w.mode
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
            x.astype(w.multiplies_in(x.dtype))[:, None],
            w.weight,
            w.scales,
            w.biases,
            lhs_indices=rows,
            rhs_indices=ids,
            transpose=True,
            group_size=w.group_size,
            bits=w.bits,
            mode=w.mode,
        )
    return out[:, 0].astype(x.dtype)


def take_rows(w: Storage, ids: mx.array) -> mx.array:
    """Rows as float32."""
    if isinstance(w, DenseMatrix):
        return w.weight[ids].astype(mx.float32)
    taken = w.with_parts(part[ids] for part in w.parts)
    if w.mode == "affine":
        assert taken.biases is not None
        scales, biases = (part.astype(mx.float32) for part in (taken.scales, taken.biases))
        return mx.dequantize(taken.weight, scales, biases, w.group_size, w.bits)
    return mx.dequantize(
        taken.weight, taken.scales, None, w.group_size, w.bits, mode=w.mode, dtype=mx.float32
    )


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
    """Scales and biases float32 [blocks, 8] of Q4_K and Q5_K."""
    d, dmin = _half(b[:, :2]).astype(np.float32), _half(b[:, 2:4]).astype(np.float32)
    low, mid, high = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=-1)
    mins = np.concatenate([mid & 63, (high >> 4) | ((mid >> 6) << 4)], axis=-1)
    return d * scales, -dmin * mins


def _q4_k(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 144)
    return _nibbles(b[:, 16:].reshape(-1, 4, 32)), *_k_scales(b), 4


def _q5_k(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 176)
    low = _nibbles(b[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    high = (b[:, None, 16:48] >> shifts) & 1
    return low | (high << 4), *_k_scales(b), 5


_IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int16
)


def _iq4_codes(field: Bytes) -> Bytes:
    """The values nibbles stand for, 128 too high."""
    shifted: Bytes = (_IQ4_VALUES + 128).astype(np.uint8)
    return shifted[_nibbles(field)]


def _iq4_nl(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 18)
    d = _half(b[:, :2])
    return _iq4_codes(b[:, 2:]), d, d * np.float16(-128), 8


def _iq4_xs(blocks: Bytes) -> Parts:
    b = blocks.reshape(-1, 136)
    high = np.ascontiguousarray(b[:, 2:4]).view(np.uint16) >> (2 * np.arange(8, dtype=np.uint16))
    low = np.stack([b[:, 4:8] & 15, b[:, 4:8] >> 4], axis=-1).reshape(-1, 8)
    scales = (low | ((high & 3) << 4)).astype(np.float32) - 32
    scales = scales * _half(b[:, :2]).astype(np.float32)
    return _iq4_codes(b[:, 8:].reshape(-1, 8, 16)), scales, -128 * scales, 8


def _mxfp4(blocks: Bytes, num_columns: int) -> AffineMatrix:
    b = blocks.reshape(-1, 17)
    packed = _pack_codes(_nibbles(b[:, 1:]).reshape(blocks.shape[0], num_columns), 4)
    scales = np.ascontiguousarray(b[:, 0]).reshape(blocks.shape[0], -1)
    return AffineMatrix(mx.array(packed), mx.array(scales), None, 32, 4, "mxfp4")


_PARTS = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
}

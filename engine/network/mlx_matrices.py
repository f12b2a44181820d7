"""One layer's arrays of an MLX directory as a matrix, or a stack of them, that our kernels take.

Affine weights stay as they are and mxfp4 becomes GGUF's MXFP4 block by block; mxfp8 and nvfp4 have
no kernel and become BF16, which holds each of their values exactly.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from metal_kernels import grouped, quantized
from metal_kernels.grouped import MatrixStack
from metal_kernels.quantized import QuantizedMatrix
from models.errors import InvalidModelFile, Unsupported

AFFINE_BITS = (2, 3, 4, 5, 6, 8)
AFFINE_GROUP_SIZES = (32, 64, 128)
"""MLX's CPU backend returns garbage for others, without an error."""

FLOAT_MODES = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
"""Bits and group size, of which each has but one pair."""

DENSE_NAMES = {mx.bfloat16: "BF16", mx.float16: "F16", mx.float32: "F32"}

Arrays = dict[str, mx.array]


class Packing(NamedTuple):
    """How a layer's weights were quantized."""

    bits: int
    group_size: int
    mode: str

    @property
    def label(self) -> str:
        """For people."""
        return f"affine{self.bits}_g{self.group_size}" if self.mode == "affine" else self.mode


def take_matrix(
    path: str, arrays: Arrays, quantization: Mapping[str, Any], num_columns: int
) -> tuple[str, QuantizedMatrix | MatrixStack]:
    """Remove one layer's arrays from `arrays`: its format's name, and the matrix or stack.

    Raises:
        InvalidModelFile: an array is missing, or the format is not one of MLX's.
        Unsupported: nothing here reads the format.
    """
    weight = arrays.pop(f"{path}.weight", None)
    if weight is None:
        raise InvalidModelFile(f"the file lacks weights: {path}.weight")
    scales = arrays.pop(f"{path}.scales", None)
    if scales is None:
        dense = _dense_matrix(path, weight)
        return dense.quantization, dense
    packing = find_packing(path, quantization, weight, scales, num_columns)
    if packing.mode == "affine":
        biases = arrays.pop(f"{path}.biases", None)
        if biases is None:
            raise InvalidModelFile(f"the file lacks weights: {path}.biases")
        load_affine = quantized.load_affine if weight.ndim == 2 else grouped.load_affine
        parts = weight, scales, biases
        try:
            matrix = load_affine(*parts, group_size=packing.group_size, bits=packing.bits)
        except ValueError as error:
            raise InvalidModelFile(f"{path}: {error}") from None
        return packing.label, matrix
    if f"{path}.global_scale" in arrays:
        raise Unsupported(f"{path}: {packing.mode} with a global scale is not known here")
    if packing.mode == "mxfp4":
        return packing.label, _load("MXFP4", _mxfp4_blocks(weight, scales), num_columns)
    return packing.label, _load("BF16", _bf16_rows(weight, scales, packing), num_columns)


def find_packing(
    path: str,
    quantization: Mapping[str, Any],
    weight: mx.array,
    scales: mx.array,
    num_columns: int,
) -> Packing:
    """What the configuration says of a layer, or what its arrays show where it is not named.

    Raises:
        InvalidModelFile: MLX has no such format, or the arrays have other sizes.
    """
    own = quantization.get(path)
    settings = own if isinstance(own, dict) else quantization
    mode = str(settings.get("mode", "affine"))
    given = Packing(int(settings.get("bits", 0)), int(settings.get("group_size", 0)), mode)
    check_packing(path, given)
    shown = _shown_packing(weight, scales, num_columns)
    if shown[:2] == given[:2]:
        return given
    if isinstance(own, dict):
        raise InvalidModelFile(
            f"{path}: the configuration says {given.bits} bits in groups of {given.group_size}, "
            f"its arrays have {shown.bits} bits in groups of {shown.group_size}"
        )
    check_packing(path, shown)
    return shown


def check_packing(path: str, packing: Packing) -> None:
    """Raises InvalidModelFile for bits or group sizes that MLX does not have."""
    if packing.mode == "affine":
        is_known = packing.bits in AFFINE_BITS and packing.group_size in AFFINE_GROUP_SIZES
        known = f"bits must be one of {AFFINE_BITS}, groups one of {AFFINE_GROUP_SIZES}"
    elif packing.mode in FLOAT_MODES:
        bits, group_size = FLOAT_MODES[packing.mode]
        is_known = packing[:2] == (bits, group_size)
        known = f"{packing.mode} has {bits} bits in groups of {group_size}"
    else:
        modes = ", ".join(("affine", *FLOAT_MODES))
        raise InvalidModelFile(f"{path}: quantization mode {packing.mode!r}; known: {modes}")
    if not is_known:
        raise InvalidModelFile(
            f"{path}: {packing.bits} bits in groups of {packing.group_size}; {known}"
        )


def _shown_packing(weight: mx.array, scales: mx.array, num_columns: int) -> Packing:
    bits = weight.shape[-1] * 32 // num_columns
    group_size = num_columns // max(scales.shape[-1], 1)
    if scales.dtype != mx.uint8:
        return Packing(bits, group_size, "affine")
    modes = {pair: mode for mode, pair in FLOAT_MODES.items()}
    return Packing(bits, group_size, modes.get((bits, group_size), "affine"))


def _mxfp4_blocks(weight: mx.array, scales: mx.array) -> np.ndarray[Any, Any]:
    """uint8 [..., N, K/32 * 17]: GGUF keeps code i beside code i + 16, MLX beside code i + 1."""
    packed = np.array(weight).view(np.uint8).reshape(*scales.shape, 16)
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*scales.shape, 32)
    halves = codes[..., :16] | (codes[..., 16:] << 4)
    blocks = np.concatenate([np.array(scales)[..., None], halves], axis=-1)
    return blocks.reshape(*scales.shape[:-1], -1)


_SLAB_ROWS = 4096


def _bf16_rows(weight: mx.array, scales: mx.array, packing: Packing) -> np.ndarray[Any, Any]:
    """uint8 [..., N, K * 2], a slab of rows at a time."""
    rows = weight.reshape(-1, weight.shape[-1])
    flat_scales = scales.reshape(-1, scales.shape[-1])
    num_bytes = weight.shape[-1] * 32 // packing.bits * 2
    result = np.empty((len(rows), num_bytes), np.uint8)
    for start in range(0, len(rows), _SLAB_ROWS):
        part = slice(start, start + _SLAB_ROWS)
        dense = mx.dequantize(
            rows[part],
            flat_scales[part],
            group_size=packing.group_size,
            bits=packing.bits,
            mode=packing.mode,
        )
        result[part] = np.array(dense.astype(mx.bfloat16).view(mx.uint8))
    return result.reshape(*weight.shape[:-1], num_bytes)


def _dense_matrix(path: str, weight: mx.array) -> QuantizedMatrix | MatrixStack:
    if weight.ndim not in (2, 3) or weight.dtype not in DENSE_NAMES:
        raise InvalidModelFile(f"{path}: a {weight.ndim}-dimensional {weight.dtype} weight")
    data = np.array(weight.view(mx.uint8), copy=False)
    return _load(DENSE_NAMES[weight.dtype], data, weight.shape[-1])


def _load(
    quantization: str, blocks: np.ndarray[Any, Any], num_columns: int
) -> QuantizedMatrix | MatrixStack:
    load_blocks = quantized.load_blocks if blocks.ndim == 2 else grouped.load_blocks
    return load_blocks(quantization, blocks, num_columns)

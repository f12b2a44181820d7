"""A token's key and value of one head as scaled bytes: what such a row means, in plain maths.

D + DV signed bytes, key before value, then a float16 scale for each group of 32 of them (16 where
32 does not divide both sizes): the largest of the group over 127. A pool of such rows is uint8.
"""

import mlx.core as mx

from metal_kernels.metal.kv_rows import INT8, int8_group, int8_row_bytes, value_size


def pool_row_size(key_size: int, value_size: int, dtype: mx.Dtype) -> int:
    """Elements of a row in a pool of this type."""
    return int8_row_bytes(key_size, value_size) if dtype == INT8 else key_size + value_size


def takes_int8(key_size: int, value_size: int) -> bool:
    """Whether rows of these sizes can be kept as scaled bytes."""
    return key_size % 16 == 0 and value_size % 16 == 0


def pack_rows(k: mx.array, v: mx.array) -> mx.array:
    """Keys [..., D] and values [..., DV] as rows uint8 [..., row_bytes]."""
    values = mx.concatenate([k, v], axis=-1).astype(mx.float32)
    groups = values.reshape(*k.shape[:-1], -1, int8_group(k.shape[-1], v.shape[-1]))
    scales = (mx.abs(groups).max(axis=-1, keepdims=True) / 127).astype(mx.float16)
    wide = scales.astype(mx.float32)
    inverse = mx.where(wide > 0, 1 / mx.where(wide > 0, wide, 1), 0)
    codes = mx.clip(mx.round(groups * inverse), -127, 127).astype(mx.int8)
    parts = (codes.reshape(values.shape), scales[..., 0])
    return mx.concatenate([part.view(mx.uint8) for part in parts], axis=-1)


def unpack_rows(rows: mx.array, key_size: int) -> mx.array:
    """Keys and values float32 [..., D + DV] of rows uint8 [..., row_bytes]."""
    width = key_size + value_size(rows, key_size)
    codes = rows[..., :width].view(mx.int8).astype(mx.float32)
    scales = mx.contiguous(rows[..., width:]).view(mx.float16).astype(mx.float32)
    groups = codes.reshape(*rows.shape[:-1], scales.shape[-1], -1) * scales[..., None]
    return groups.reshape(codes.shape)

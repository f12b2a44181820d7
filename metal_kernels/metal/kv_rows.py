"""How a token's key and value of one head lie in the pool: as numbers, or as scaled bytes."""

import mlx.core as mx

INT8 = mx.uint8
"""Element type of a pool of scaled bytes; layout in shaders/kv_rows/int8.metal."""


def int8_group(key_size: int, value_size: int) -> int:
    """Bytes that share a scale."""
    return 32 if key_size % 32 == 0 and value_size % 32 == 0 else 16


def int8_row_bytes(key_size: int, value_size: int) -> int:
    """Last dimension of an int8 pool.

    >>> int8_row_bytes(128, 128), int8_row_bytes(80, 80)
    (272, 180)
    """
    width = key_size + value_size
    return width + width // int8_group(key_size, value_size) * 2


def value_size(pool: mx.array, key_size: int) -> int:
    """Size of the values in a pool [num_blocks, Hkv, BS, row]."""
    row = pool.shape[-1]
    if pool.dtype != INT8:
        return int(row - key_size)
    found = next(row * g // (g + 2) - key_size for g in (32, 16) if row % (g + 2) == 0)
    assert int8_row_bytes(key_size, found) == row, f"int8 rows of {row} bytes, keys of {key_size}"
    return int(found)


def kernel_suffix(pool: mx.array) -> str:
    """What the names of kernels for this kind of pool end in."""
    return "_int8" if pool.dtype == INT8 else ""


def row_header(suffix: str) -> str:
    """The shader file that reads such rows."""
    return "kv_rows/int8" if suffix else "kv_rows/plain"

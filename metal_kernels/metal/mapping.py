"""Weights bound where they lie in the file, when Metal can address that memory."""

from mmap import PAGESIZE, mmap
from typing import Any

import mlx.core as mx
import numpy as np

ALIGNMENT = 16
"""Of what kernels load at a time. GGUF files align tensors to 32 bytes, or to what they say."""

Bytes = np.ndarray[Any, Any]


def bind(blocks: Bytes) -> mx.array:
    """`blocks` uint8 [N, row_bytes] as an array, without a copy if they are mapped from a file.

    Metal addresses whole pages. They are read when a kernel first touches them.
    """
    whole = mapping_of(blocks)
    if whole is None or not blocks.flags.c_contiguous:
        return mx.array(blocks)
    start = blocks.ctypes.data - whole.ctypes.data
    if start % ALIGNMENT:
        return mx.array(blocks)
    first, last = page_range(start, blocks.nbytes, whole.nbytes)
    try:
        pages = mx.asarray(whole[first:last], copy=False)
    except (ValueError, BufferError):  # MLX cannot bind these pages here
        return mx.array(blocks)
    return pages[start - first : start - first + blocks.nbytes].reshape(blocks.shape)


def page_range(
    start: int, num_bytes: int, mapped_bytes: int, page_bytes: int = PAGESIZE
) -> tuple[int, int]:
    """First and last byte of the whole pages around `num_bytes` at `start` of a mapping.

    >>> page_range(20000, 5000, mapped_bytes=100000, page_bytes=16384)
    (16384, 32768)
    """
    first = start // page_bytes * page_bytes
    return first, min(-(-(start + num_bytes) // page_bytes) * page_bytes, mapped_bytes)


def mapping_of(array: Bytes) -> Bytes | None:
    """All bytes of the mapped file that `array` is a view of, None if it is not."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    is_mapped = isinstance(array.base, mmap) or (
        isinstance(array.base, memoryview) and isinstance(array.base.obj, mmap)
    )
    if not is_mapped or array.ndim != 1 or array.dtype != np.uint8:
        return None
    return array if array.ctypes.data % PAGESIZE == 0 else None

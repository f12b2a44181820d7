"""Weights as GGUF blocks: on Linux by C++ kernels on all threads, elsewhere by the definition."""

from typing import Any

import numpy as np

from metal_kernels import quantize_reference, reference
from metal_kernels.backend import backend, cpu

Array = np.ndarray[Any, Any]

QUANTIZE_TYPES = frozenset(quantize_reference.LAYOUTS)
"""What `quantize_blocks` writes."""

_DENSE = ("F32", "F16", "BF16")


def quantize_blocks(
    quantization: str,
    source: Array,
    source_type: str,
    num_columns: int,
    importance: Array | None = None,
) -> Array:
    """Rows stored as `source_type`, uint8 [N, bytes], as blocks uint8 [N, row_bytes].

    `importance`, float32 [K], says how much an error in each column counts.
    ValueError when the columns do not fill whole blocks or a weight is not finite.
    """
    assert quantization in QUANTIZE_TYPES, quantization
    row_bytes = reference.row_bytes(quantization, num_columns)
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
        assert importance.shape == (num_columns,), importance.shape
    if source_type not in _DENSE:
        values = reference.dequantize_blocks(source_type, source, num_columns)
        source, source_type = values.view(np.uint8), "F32"
    if backend() == "cpu":
        out = np.empty((source.shape[0], row_bytes), np.uint8)
        cpu.quantize_into(quantization, np.ascontiguousarray(source), source_type, importance, out)
        return out
    values = reference.dequantize_blocks(source_type, source, num_columns)
    return quantize_reference.quantize(quantization, values, importance)

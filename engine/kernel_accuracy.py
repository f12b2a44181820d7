"""Each stored format of a GGUF file: our product against the file's dequantized weights."""

from collections import Counter

import mlx.core as mx
import numpy as np

from metal_kernels import quantized, reference
from metal_kernels.converted_blocks import convert_blocks
from models.fit import total_memory_bytes
from models.formats.conversions import loaded_formats
from models.formats.gguf import GGUFFile

NUM_INPUTS, MAX_ROWS = 3, 64
MAX_ERROR = {"Q8_0": 1e-2}
"""Of formats that a tensor may be converted to with a loss; the others must keep to 1e-3."""


def measure_kernels(gguf: GGUFFile) -> dict[str, dict[str, object]]:
    """By format: how many tensors have it, what it is loaded as, and the largest error.

    The error is that of a product with random inputs, relative to the product's size, on the first
    rows of the first tensor of the format; `passed` says whether it is small enough.
    """
    targets = loaded_formats(gguf.tensors.values(), total_memory_bytes())
    counts = Counter(tensor.quantization for tensor in gguf.tensors.values())
    found: dict[str, dict[str, object]] = {}
    for name, tensor in gguf.tensors.items():
        stored = tensor.quantization
        if stored in found or len(tensor.shape) < 2 or not reference.can_dequantize(stored):
            continue
        target = targets.get(name, stored)
        rows = np.asarray(gguf.tensor_bytes(name)[:MAX_ROWS])
        error = _product_error(stored, target, rows, tensor.shape[-1])
        limit = MAX_ERROR.get(target, 1e-3) if target != stored else 1e-3
        found[stored] = {
            "tensors": counts[stored],
            "loaded_as": target,
            "error": error,
            "passed": bool(error <= limit),
        }
    return found


def _product_error(
    stored: str, target: str, rows: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], width: int
) -> float:
    weights = reference.dequantize_blocks(stored, rows, width).astype(np.float64)
    inputs = np.random.default_rng(0).standard_normal((NUM_INPUTS, width)).astype(np.float32)
    blocks = rows if target == stored else convert_blocks(stored, target, rows, width)
    matrix = quantized.load_blocks(target, blocks, width)
    result = np.array(quantized.matmul(mx.array(inputs), matrix), np.float64)
    expected = inputs @ weights.T
    scale = np.linalg.norm(inputs, axis=1)[:, None] * np.linalg.norm(weights, axis=1)
    return float(np.max(np.abs(result - expected) / np.maximum(scale, 1e-30)))

"""Random weights in GGUF blocks, and what they mean in float64."""

import gguf
import numpy as np
from gguf.quants import dequantize

from metal_kernels.metal.quantized_matmul import BLOCK_BYTES, BLOCK_VALUES, SCALE_OFFSETS


def random_blocks(
    quantization: str, num_rows: int, num_columns: int, rng: np.random.Generator
) -> np.ndarray:
    """uint8 [num_rows, row_bytes] of valid blocks."""
    num_blocks = num_columns // BLOCK_VALUES[quantization]
    size = BLOCK_BYTES[quantization]
    blocks = rng.integers(0, 256, (num_rows, num_blocks, size), dtype=np.uint8)
    for at in SCALE_OFFSETS[quantization]:
        scales = rng.uniform(-0.01, 0.01, (num_rows, num_blocks, 1)).astype(np.float16)
        blocks[:, :, at : at + 2] = scales.view(np.uint8)
    return blocks.reshape(num_rows, -1)


def weights(quantization: str, blocks: np.ndarray) -> np.ndarray:
    """The same as float64 [num_rows, num_columns]."""
    values = dequantize(blocks, gguf.GGMLQuantizationType[quantization])
    return values.astype(np.float64)

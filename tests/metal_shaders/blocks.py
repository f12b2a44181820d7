"""What GGUF blocks mean, in float64."""

import gguf
import numpy as np
from gguf.quants import dequantize


def weights(quantization: str, blocks: np.ndarray) -> np.ndarray:
    """float64 [N, K] of blocks uint8 [N, row_bytes]."""
    values = dequantize(blocks, gguf.GGMLQuantizationType[quantization])
    return values.astype(np.float64)

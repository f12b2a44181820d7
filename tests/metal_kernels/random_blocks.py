"""Random weights of every quantization, valid but otherwise arbitrary bytes."""

import gguf
import numpy as np
from gguf.quants import quantize

# Where a block keeps its float16 scales: arbitrary bytes there would be NaN or infinite.
_SCALE_OFFSETS = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_XS": (0,),
    "IQ4_NL": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
}
BLOCK_TYPES = (*_SCALE_OFFSETS, "MXFP4")
DENSE_TYPES = ("F16", "BF16", "F32")


def random_blocks(quantization, num_rows, num_columns, seed=0):
    rng = np.random.default_rng(seed)
    kind = gguf.GGMLQuantizationType[quantization]
    if quantization in DENSE_TYPES:
        values = rng.standard_normal((num_rows, num_columns)).astype(np.float32)
        return quantize(values, kind).view(np.uint8).reshape(num_rows, -1)
    block_columns, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    count = num_rows * num_columns // block_columns
    blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for offset in _SCALE_OFFSETS.get(quantization, ()):
        scales = (rng.standard_normal(count) * 0.01).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    if quantization == "MXFP4":
        blocks[:, 0] = rng.integers(118, 126, count)
    return blocks.reshape(num_rows, -1)

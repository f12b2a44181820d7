"""Number formats of what is computed and what is kept, by back end."""

import mlx.core as mx

from metal_kernels.backend import backend
from metal_kernels.metal.kv_rows import INT8
from models.memory_plan import KvType

KV_DTYPES: dict[KvType, mx.Dtype] = {"f16": mx.float16, "q8_0": INT8}
"""Elements of the pools of keys and values; 16 bits are llama.cpp's default too."""


def activation_dtype() -> mx.Dtype:
    """float16 on Metal; float32 elsewhere, where MLX emulates the half types."""
    return mx.float16 if backend() == "metal" else mx.float32

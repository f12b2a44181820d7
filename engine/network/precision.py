"""Number formats of what is computed and what is kept, by back end."""

import mlx.core as mx

from metal_kernels.backend import backend

CACHE_DTYPE = mx.float16
"""Keys and values; llama.cpp's default too."""


def activation_dtype() -> mx.Dtype:
    """float16 on Metal; float32 elsewhere, where MLX emulates the half types."""
    return mx.float16 if backend() == "metal" else mx.float32

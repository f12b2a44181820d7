"""LoRA training. `use_fast_blas` comes first, before anything imports MLX."""

from metal_kernels.blas import use_fast_blas

__all__ = ["use_fast_blas"]

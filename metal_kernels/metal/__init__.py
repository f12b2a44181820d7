"""Ops on Apple GPUs: the shaders of `metal_kernels/shaders` and the modules that launch them."""

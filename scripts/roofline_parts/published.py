"""Decode speeds that other programs publish, for models in our table. None was measured by us."""

from typing import NamedTuple


class Figure(NamedTuple):
    """One stream's tokens per second, and who says so."""

    chip: str
    model: str
    program: str
    is_mlx_format: bool
    """4-bit MLX weights; else GGUF Q4_K_M."""
    tokens_s: float
    source: str


_VLLM_MLX = "vllm-mlx, docs/benchmarks/llm.md"

PUBLISHED = (
    Figure("M4", "Llama 3.1 8B", "llama.cpp", False, 20.9, "normiebench, issue 3"),
    Figure("M1 Max", "Llama 3.1 8B", "llama.cpp", False, 46.2, "normiebench, issue 40"),
    Figure("M3 Ultra", "Llama 3.1 8B", "Rapid-MLX", True, 119.4, "Rapid-MLX, its repository"),
    Figure(
        "M3 Max 40-core", "Llama 3.2 3B", "GgufLinear", False, 68.8,
        "huggingface/transformers, pull request 45977",
    ),
    Figure(
        "M4 Max 40-core", "Llama 3.2 1B", "vllm-mlx", True, 464.0, _VLLM_MLX
    ),
    Figure(
        "M4 Max 40-core", "Llama 3.2 3B", "vllm-mlx", True, 200.0, _VLLM_MLX
    ),
    Figure(
        "M4 Max 40-core", "Qwen3 30B-A3B", "vllm-mlx", True, 124.0, _VLLM_MLX
    ),
    Figure("M4 Max 40-core", "Qwen3 30B-A3B", "mlx-lm", True, 113.0, "mlx-lm, BENCHMARKS.md"),
    Figure("M3 Max 40-core", "Qwen3 30B-A3B", "mlx-lm", True, 68.0, "mlx-lm, issue 92"),
    Figure("M3 Max 40-core", "Qwen3 30B-A3B", "llama.cpp", False, 57.0, "mlx-lm, issue 92"),
)  # fmt: skip

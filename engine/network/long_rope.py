"""LongRoPE (Ding et al. 2024): one set of frequencies for short contexts, another for long ones.

mlx-lm always takes the long one. As in llama.cpp the context that a model is loaded with decides.
"""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn


def fit_rope_to_context(network: nn.Module, config: Mapping[str, Any], context_tokens: int) -> None:
    """Turn with the short factors where the context is not longer than the original one."""
    scaling = config.get("rope_scaling") or {}
    original = scaling.get("original_max_position_embeddings") or config.get(
        "original_max_position_embeddings"
    )
    short = scaling.get("short_factor")
    if short is None or not original or context_tokens > original:
        return
    for module in network.modules():
        if type(module).__name__ == "SuScaledRoPE":
            exponents = mx.arange(0, module.dim, 2, dtype=mx.float32) / module.dim
            module._freqs = mx.array(short, mx.float32) * mx.power(
                float(config["rope_theta"]), exponents
            )

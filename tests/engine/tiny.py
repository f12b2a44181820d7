"""A llama of a few thousand random weights, as a network over stored matrices."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.utils
import numpy as np

from engine.network.placing import has_matrices, place_matrix, place_stack
from engine.network.zoo import build_network
from metal_kernels import grouped, quantized

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 50,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def tiny_network(seed: int = 0, **changes: Any) -> nn.Module:
    """Random weights large enough that the argmax is never in doubt; float32 matrices."""
    network = build_network({**CONFIG, **changes})
    rng = np.random.default_rng(seed)
    for path, module in list(network.named_modules()):
        if not has_matrices(module):
            continue
        weight = rng.normal(0, 0.3, module.weight.shape).astype(np.float32)
        blocks, num_columns = weight.view(np.uint8), weight.shape[-1]
        if weight.ndim == 3:
            place_stack(network, path, grouped.load_blocks("F32", blocks, num_columns))
        else:
            place_matrix(network, path, quantized.load_blocks("F32", blocks, num_columns))
    mx.eval(network.parameters())
    network.eval()
    return network


MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral",
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
}
"""Changes that make a mixture of experts of it."""


def random_prompts(number: int, longest: int, seed: int = 1) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, number)
    return [tuple(int(t) for t in rng.integers(0, 50, n)) for n in lengths]


def flat(network: nn.Module) -> dict[str, mx.array]:
    return dict(mlx.utils.tree_flatten(network.trainable_parameters()))

"""Mixtures of experts and latent attention through the engine: paged, batched, drafted, adapted."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.utils
import numpy as np
import pytest
from test_paged_network import generate, greedy_plainly, make_engine, under_each_limit
from tiny import MIXTRAL, flat, random_prompts, tiny_network

from engine.network.fusion import fuse
from engine.network.lora import LoRAConfig, LoRALinear, add_adapter
from engine.network.sparse_mlp import SparseMLP

DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    "q_lora_rank": 32,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}
NETWORKS = {"mixtral": MIXTRAL, "deepseek": DEEPSEEK}


def fused(changes: dict[str, Any]) -> nn.Module:
    network: nn.Module = tiny_network(**changes)
    fuse(network)
    assert any(isinstance(module, SparseMLP) for module in network.modules())
    return network


@under_each_limit
@pytest.mark.parametrize("name", NETWORKS)
def test_paged_and_batched_equals_dense_and_alone(name: str, limits: dict[str, int]) -> None:
    prompts = random_prompts(4, 40)
    plain = tiny_network(**NETWORKS[name])
    expected = [greedy_plainly(plain, prompt, 10) for prompt in prompts]
    assert generate(make_engine(fused(NETWORKS[name]), **limits), prompts, 10) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_a_repeated_prompt_is_drafted_and_cached_without_a_difference(name: str) -> None:
    engine = make_engine(fused(NETWORKS[name]))
    prompt = random_prompts(1, 30, seed=5)[0] * 3
    expected = [greedy_plainly(tiny_network(**NETWORKS[name]), prompt, 12)]
    assert generate(engine, [prompt], 12) == generate(engine, [prompt], 12) == expected
    assert engine.metrics.num_cached_blocks > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_adapters_learn_through_the_experts(name: str) -> None:
    """The gradient crosses stored experts, and is that of the dense network."""
    ids = mx.array([[5, 3, 8, 1, 9, 2, 4]])
    network = tiny_network(**NETWORKS[name])
    mx.random.seed(0)
    add_adapter(network, LoRAConfig(rank=4, num_layers=-1))
    for module in network.modules():
        if isinstance(module, LoRALinear):
            module.lora_b = mx.random.normal(module.lora_b.shape) * 0.1
    network.train()

    def loss(net: nn.Module) -> mx.array:
        return nn.losses.cross_entropy(net(ids[:, :-1]), ids[:, 1:]).mean()

    value, gradients = nn.value_and_grad(network, loss)(network)
    first = "model.layers.0.self_attn.o_proj.lora_b"
    slope = dict(mlx.utils.tree_flatten(gradients))[first]
    step = 1e-4 * slope / mx.linalg.norm(slope)
    weights = flat(network)[first]
    network.model.layers[0].self_attn.o_proj.lora_b = weights + step
    up = loss(network)
    network.model.layers[0].self_attn.o_proj.lora_b = weights - step
    difference = (up - loss(network)).item()
    expected = 2 * mx.sum(step * slope).item()
    assert np.isfinite(value.item())
    assert difference == pytest.approx(expected, rel=0.05)

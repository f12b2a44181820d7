"""The engine on Metal's kernels for every kind of attention, for experts and adapters: prompts in
chunks, a batch of decoding rows, drafts to verify.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from engine.network.lora import LoRAConfig, LoRALinear, add_adapter
from tests.metal_shaders.small_engine import generate, make_engine, make_network

KINDS: dict[str, dict[str, Any]] = {
    "window": {"model_type": "mistral", "sliding_window": 9},
    "soft cap and window": {
        "model_type": "gemma2", "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16,
        "attn_logit_softcapping": 3.0, "final_logit_softcapping": 4.0,
    },
    "sinks, window and experts": {
        "model_type": "gpt_oss", "head_dim": 16, "sliding_window": 8, "num_local_experts": 4,
        "num_experts_per_tok": 2, "intermediate_size": 64, "rope_theta": 10000.0,
    },
    "latents and experts": {
        "model_type": "deepseek_v3", "num_key_value_heads": 4, "q_lora_rank": 32,
        "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
        "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "first_k_dense_replace": 1,
    },
}  # fmt: skip
PROMPTS = [tuple(range(3, 50)), (5, 9), (1, 2, 3, 4, 1, 2, 3, 4, 1, 2)]


def network_of(kind: str, quantization: str) -> nn.Module:
    network = make_network(quantization, **KINDS[kind])
    rng = np.random.default_rng(1)
    for module in network.modules():
        if "sinks" in module:
            module.sinks = mx.array(rng.normal(0, 2, module.sinks.shape).astype(np.float32))
    return network


@pytest.mark.usefixtures("other_backend")
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_the_tokens_of_the_other_back_ends(request, kind):
    expected = generate(make_engine(network_of(kind, "F32")), PROMPTS, 6)
    simulator = request.getfixturevalue("on_metal")
    assert generate(make_engine(network_of(kind, "Q8_0")), PROMPTS, 6) == expected
    launched = {launch.kernel for launch in simulator.launches}
    assert launched >= {"paged_attention", "gather_kv"}
    assert launched & {"kv_write", "rope_kv_write"}
    assert ("grouped_matvec_Q8_0" in launched) == ("experts" in kind)


def adapted(quantization: str) -> nn.Module:
    """With an adapter that changes what is said."""
    network = make_network(quantization)
    add_adapter(network, LoRAConfig(rank=4, scale=4.0))
    rng = np.random.default_rng(2)
    for module in network.modules():
        if isinstance(module, LoRALinear):
            for name in ("lora_a", "lora_b"):
                values = rng.normal(0, 0.3, module[name].shape).astype(np.float32)
                module[name] = mx.array(values)
    network.eval()
    return network


@pytest.mark.usefixtures("other_backend")
def test_an_adapter_gives_the_tokens_of_the_other_back_ends(request):
    plain = generate(make_engine(make_network("F32")), PROMPTS, 6)
    expected = generate(make_engine(adapted("F32")), PROMPTS, 6)
    assert expected != plain
    request.getfixturevalue("on_metal")
    assert generate(make_engine(adapted("Q8_0")), PROMPTS, 6) == expected

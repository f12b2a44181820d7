"""Families with mixtures of experts from MLX directories: the logits that MLX's own layers give."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_model import WIDE, load, write_model

from engine.network.sparse_mlp import ExpertGLU, SparseMLP
from engine.request import Request, SamplingParams

EXPERTS: dict[str, Any] = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 64,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "first_k_dense_replace": 1,
    "rope_scaling": {
        "type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 128,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
}
FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 5, "num_experts_per_tok": 2},
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 64},
    "qwen3_moe": EXPERTS | {"decoder_sparse_step": 2, "mlp_only_layers": []},
    "olmoe": EXPERTS,
    "granitemoe": {
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "logits_scaling": 2.0,
        "attention_multiplier": 0.2,
        "embedding_multiplier": 2.0,
        "residual_multiplier": 0.5,
        "attention_bias": False,
    },
    "gpt_oss": {"num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 8}
    | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "deepseek_v2": LATENT
    | {"topk_method": "group_limited_greedy", "n_group": 3, "topk_group": 2, "kv_lora_rank": 32},
    "deepseek_v3": LATENT | {"n_group": 3, "topk_group": 2, "routed_scaling_factor": 2.5},
    "glm4_moe_lite": LATENT | {"n_group": 1, "topk_group": 1, "norm_topk_prob": True},
    "dots1": LATENT | {"routed_scaling_factor": 1.0, "norm_topk_prob": True},
}
KNOWN_WHOLE = set(FAMILIES) - {"dots1"}


@pytest.mark.parametrize(
    ("family", "bits", "mode"),
    [
        *((family, bits, "affine") for family in FAMILIES for bits in (None, 4)),
        ("gpt_oss", 4, "mxfp4"),
        ("qwen3_moe", 4, "mxfp4"),
    ],
)
def test_logits_are_mlx_own(tmp_path: Path, family: str, bits: int | None, mode: str) -> None:
    config = {**WIDE, "model_type": family, **FAMILIES[family]}
    reference = write_model(tmp_path / "model", config, bits, 32, mode)
    loaded = load(tmp_path / "model", tmp_path)
    prompt = tuple(int(t) for t in np.random.default_rng(1).integers(2, 60, 30))
    params = SamplingParams(temperature=0, max_tokens=1, num_logprobs=20, ignore_eos=True)
    loaded.engine.add_request(Request("warm", prompt[:17], params))
    loaded.engine.step()
    loaded.engine.add_request(Request("a", prompt, params))
    (output,) = loaded.engine.step()
    logits = np.array(reference(mx.array([prompt]))[0, -1].astype(mx.float32), np.float64)
    expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    for token_id, logprob in output.logprobs[0].alternatives:
        assert abs(logprob - expected[token_id]) < 0.02


@pytest.mark.parametrize("family", ["qwen3_moe", "dots1"])
def test_nothing_of_mlx_own_experts_remains(tmp_path: Path, family: str) -> None:
    write_model(tmp_path / "model", {**WIDE, "model_type": family, **FAMILIES[family]}, 4, 32)
    network: Any = load(tmp_path / "model", tmp_path).engine._runner._network
    kinds = [type(module) for module in network.modules()]
    assert (SparseMLP if family in KNOWN_WHOLE else ExpertGLU) in kinds
    assert not {"SwitchGLU", "SwitchLinear"} & {kind.__name__ for kind in kinds}

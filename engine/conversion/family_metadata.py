"""What single families of models have in a GGUF file's metadata beside what all share.

Sources: llama.cpp's converters, conversion/*.py.
"""

from collections.abc import Callable

import numpy as np

from engine.conversion.rope_metadata import (
    Config,
    Values,
    head_dim,
    partial_rotary_factor,
    rope_parameters,
)

_SIGMOID = 2
"""A value of `expert_gating_func`; without one it is softmax."""


def _gemma2(config: Config) -> Values:
    return {
        "attn_logit_softcapping": float(config["attn_logit_softcapping"]),
        "final_logit_softcapping": float(config["final_logit_softcapping"]),
        "attention.sliding_window": int(config["sliding_window"]),
    }


def _gemma3(config: Config) -> Values:
    rope = config.get("rope_parameters") or {}
    local = rope.get("sliding_attention", {}).get("rope_theta")
    base = rope_parameters({"rope_theta": 1_000_000.0, **config})["rope_theta"]
    return {
        "rope.freq_base": float(base),
        "rope.freq_base_swa": float(local or config.get("rope_local_base_freq", 10_000.0)),
        "attention.sliding_window": int(config["sliding_window"]),
    }


def _phi3(config: Config) -> Values:
    values: Values = {"attention.sliding_window": int(config.get("sliding_window") or 0)}
    original = config.get("original_max_position_embeddings")
    return values | ({"rope.scaling.original_context_length": int(original)} if original else {})


def _granite(config: Config) -> Values:
    return {
        "attention.scale": float(config["attention_multiplier"]),
        "embedding_scale": float(config["embedding_multiplier"]),
        "residual_scale": float(config["residual_multiplier"]),
        "logit_scale": float(config["logits_scaling"]),
    }


def _starcoder2(config: Config) -> Values:
    return {"attention.layer_norm_epsilon": float(config["norm_epsilon"])}


def _command_r(config: Config) -> Values:
    return {
        "attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "logit_scale": float(config["logit_scale"]),
        "rope.scaling.type": "none",
    }


def _cohere2(config: Config) -> Values:
    return _command_r(config) | {"attention.sliding_window": int(config["sliding_window"])}


def _granitemoe(config: Config) -> Values:
    width = int(config["intermediate_size"])
    return _granite(config) | {"expert_feed_forward_length": width}


def _gpt_oss(config: Config) -> Values:
    return {
        "attention.sliding_window": int(config["sliding_window"]),
        "expert_feed_forward_length": int(config["intermediate_size"]),
    }


def _shared_experts(config: Config) -> Values:
    """Experts of DeepSeek's kind: some for every token, dense layers first, groups."""
    values: Values = {
        "leading_dense_block_count": int(config.get("first_k_dense_replace") or 0),
        "expert_shared_count": int(config.get("n_shared_experts") or 0),
        "expert_weights_scale": float(config.get("routed_scaling_factor") or 1.0),
    }
    if config.get("norm_topk_prob"):
        values["expert_weights_norm"] = True
    if config.get("n_group"):
        values["expert_group_count"] = int(config["n_group"])
        values["expert_group_used_count"] = int(config["topk_group"])
    return values


def _sigmoid_experts(config: Config) -> Values:
    return _shared_experts(config) | {"expert_gating_func": _SIGMOID}


def _glm4moe(config: Config) -> Values:
    turned = int(head_dim(config) * (partial_rotary_factor(config) or 0.5))
    return _sigmoid_experts(config) | {"rope.dimension_count": turned}


def _deepseek2(config: Config) -> Values:
    """Latent attention: one head of keys, which the file's `attn_k_b` and `attn_v_b` expand."""
    latent, turned = int(config["kv_lora_rank"]), int(config["qk_rope_head_dim"])
    is_v3 = config["model_type"] == "deepseek_v3"
    values = _sigmoid_experts(config) if is_v3 else _shared_experts(config)
    values |= {
        "attention.head_count_kv": 1,
        "attention.kv_lora_rank": latent,
        "attention.key_length": latent + turned,
        "attention.value_length": latent,
        "attention.key_length_mla": int(config["qk_nope_head_dim"]) + turned,
        "attention.value_length_mla": int(config["v_head_dim"]),
        "rope.dimension_count": turned,
    }
    if config.get("q_lora_rank"):
        values["attention.q_lora_rank"] = int(config["q_lora_rank"])
    stretched = rope_parameters(config).get("mscale_all_dim")
    if stretched:
        values["rope.scaling.yarn_log_multiplier"] = 0.1 * float(stretched)
    return values


def _lfm2(config: Config) -> Values:
    attending = set(_attending_layers(config))
    heads = int(config["num_key_value_heads"])
    layers = range(int(config["num_hidden_layers"]))
    each = np.array([heads if layer in attending else 0 for layer in layers], np.int32)
    return {
        "feed_forward_length": _lfm2_width(config),
        "attention.head_count_kv": each,
        "attention.layer_norm_rms_epsilon": float(config["norm_eps"]),
        "shortconv.l_cache": int(config["conv_L_cache"]),
    }


def _lfm2_width(config: Config) -> int:
    """Of the feed-forward layers; configurations may state what it is worked out from."""
    width = int(config.get("block_ff_dim") or config["intermediate_size"])
    if not config.get("block_auto_adjust_ff_dim"):
        return width
    width = int(float(config.get("block_ffn_dim_multiplier") or 1.0) * int(2 * width / 3))
    multiple = int(config["block_multiple_of"])
    return -(-width // multiple) * multiple


def _attending_layers(config: Config) -> list[int]:
    indices = config.get("full_attn_idxs")
    if indices is not None:
        return list(indices)
    return [i for i, kind in enumerate(config["layer_types"]) if kind == "full_attention"]


OWN: dict[str, Callable[[Config], Values]] = {
    "cohere2": _cohere2,
    "command-r": _command_r,
    "deepseek2": _deepseek2,
    "dots1": _sigmoid_experts,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "glm4moe": _glm4moe,
    "gpt-oss": _gpt_oss,
    "granite": _granite,
    "granitemoe": _granitemoe,
    "lfm2": _lfm2,
    "phi3": _phi3,
    "starcoder2": _starcoder2,
}
"""By GGUF's architecture; what stands here replaces what is common."""

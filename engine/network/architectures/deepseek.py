"""DeepSeek V2 and V3 and what is built like them: latent attention, shared experts.

Files keep the expansion of the latent split by heads (`attn_k_b` transposed, and `attn_v_b`), older
ones as one matrix (`attn_kv_b`), whose metadata then speak of expanded heads.
"""

from engine.network.architectures.architecture import Architecture, Config, expert_names
from engine.network.architectures.common import common_config, num_used_experts
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import GGUFFile

_SOFTMAX, _SIGMOID = 1, 2
"""Values of `expert_gating_func`; 0 or none is softmax."""


def _deepseek2(file: GGUFFile, metadata: Metadata) -> Config:
    has_bias = any(name.endswith("exp_probs_b.bias") for name in file.tensors)
    written = metadata.integer(".expert_gating_func", 0)
    gating = written or (_SIGMOID if has_bias else _SOFTMAX)
    if gating not in (_SOFTMAX, _SIGMOID):
        raise Unsupported(f"expert gating function {gating}; known are 1 (softmax), 2 (sigmoid)")
    model_type = "deepseek_v3" if gating == _SIGMOID else "deepseek_v2"
    config = common_config(file, metadata, model_type)
    config["num_key_value_heads"] = config["num_attention_heads"]
    config |= _attention(file, metadata) | _experts(metadata, gating)
    config["rope_scaling"] = _scaling(metadata, config["rope_scaling"])
    return config


def _attention(file: GGUFFile, metadata: Metadata) -> Config:
    key_length = metadata.integer(".attention.key_length")
    value_length = metadata.integer(".attention.value_length", key_length)
    turned = metadata.integer(".rope.dimension_count")
    is_split = "blk.0.attn_k_b.weight" in file.tensors
    head_dim = metadata.integer(".attention.key_length_mla", key_length)
    return {
        "latent_cache": is_split,
        "kv_lora_rank": metadata.integer(".attention.kv_lora_rank"),
        "q_lora_rank": metadata.integer(".attention.q_lora_rank", 0) or None,
        "qk_rope_head_dim": turned,
        "qk_nope_head_dim": head_dim - turned,
        "v_head_dim": metadata.integer(".attention.value_length_mla", value_length),
        "head_dim": head_dim,
    }


def _experts(metadata: Metadata, gating: int) -> Config:
    normalised = metadata.flag(".expert_weights_norm", False)
    if normalised and gating == _SOFTMAX:
        raise Unsupported("deepseek2 with softmax gating and normalised expert weights")
    num_groups = metadata.integer(".expert_group_count", 1) or 1
    num_chosen = metadata.integer(".expert_group_used_count", 1) or 1
    num_experts = metadata.integer(".expert_count", 0)
    if num_groups < 1 or num_experts % num_groups or not 1 <= num_chosen <= num_groups:
        raise InvalidModelFile(f"{num_experts} experts in {num_chosen} of {num_groups} groups")
    greedy = "group_limited_greedy" if num_groups > 1 else "greedy"
    return {
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length"),
        "n_routed_experts": num_experts or None,
        "n_shared_experts": metadata.integer(".expert_shared_count", 0) or None,
        "num_experts_per_tok": num_used_experts(metadata),
        "first_k_dense_replace": metadata.integer(".leading_dense_block_count", 0),
        "moe_layer_freq": 1,
        "routed_scaling_factor": metadata.number(".expert_weights_scale", 1.0) or 1.0,
        "norm_topk_prob": normalised,
        "n_group": num_groups,
        "topk_group": num_chosen,
        "topk_method": "noaux_tc" if gating == _SIGMOID else greedy,
    }


def _scaling(metadata: Metadata, scaling: Config | None) -> Config | None:
    """Yarn with the factor that also multiplies attention, written as 0.1 of itself."""
    if scaling is None or scaling["rope_type"] != "yarn":
        return scaling
    mscale = metadata.number(".rope.scaling.yarn_log_multiplier", 0.0) / 0.1
    return scaling | ({"mscale": mscale, "mscale_all_dim": mscale} if mscale else {})


def _glm4moe(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "glm4_moe") | _experts(metadata, _SIGMOID)
    turned = metadata.integer(".rope.dimension_count", config["head_dim"])
    config["partial_rotary_factor"] = turned / config["head_dim"]
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["use_qk_norm"] = "blk.0.attn_q_norm.weight" in file.tensors
    return config


def _dots1(file: GGUFFile, metadata: Metadata) -> Config:
    return common_config(file, metadata, "dots1") | _experts(metadata, _SIGMOID)


def _minicpm3(file: GGUFFile, metadata: Metadata) -> Config:
    """Its multipliers are no metadata: llama.cpp knows those of the published 4B as well."""
    config = common_config(file, metadata, "minicpm3")
    turned = metadata.integer(".rope.dimension_count")
    head_dim = metadata.integer(".attention.key_length")
    return config | {
        "q_lora_rank": metadata.integer(".attention.q_lora_rank"),
        "kv_lora_rank": metadata.integer(".attention.kv_lora_rank"),
        "qk_rope_head_dim": turned,
        "qk_nope_head_dim": head_dim - turned,
        "head_dim": head_dim,
        "dim_model_base": 256,
        "scale_emb": 12,
        "scale_depth": 1.4,
    }


_GATED = expert_names("mlp.gate", "mlp.switch_mlp", "mlp.shared_experts")
LATENT_NAMES = {
    "attn_q_a": "self_attn.q_a_proj",
    "attn_q_a_norm": "self_attn.q_a_layernorm",
    "attn_q_b": "self_attn.q_b_proj",
    "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
    "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_kv_b": "self_attn.kv_b_proj",
    "attn_k_b": "self_attn.embed_q",
    "attn_v_b": "self_attn.unembed_out",
}

ARCHITECTURES: dict[str, Architecture] = {
    "deepseek2": Architecture(_deepseek2, _GATED | LATENT_NAMES),
    "dots1": Architecture(_dots1, expert_names("mlp.gate", "mlp.experts", "mlp.shared_experts")),
    "glm4moe": Architecture(_glm4moe, _GATED | {"post_attention_norm": "post_attention_layernorm"}),
    "minicpm3": Architecture(_minicpm3, LATENT_NAMES),
}

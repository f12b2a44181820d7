"""DeepSeek V2 and V3 and what is built like them: latent attention, shared experts.

Files keep the expansion of the latent split by heads (`attn_k_b` transposed, and `attn_v_b`), older
ones as one matrix (`attn_kv_b`), whose metadata then speak of expanded heads.
"""

from engine.network.architectures.common import Config, Family, common_config
from engine.network.gguf_values import Metadata
from models.errors import Unsupported
from models.gguf import GGUFFile

_SOFTMAX, _SIGMOID = 1, 2
"""Values of `expert_gating_func`; 0 or none is softmax."""


def _deepseek2(file: GGUFFile, metadata: Metadata) -> Config:
    gating = metadata.integer(".expert_gating_func", 0) or _SOFTMAX
    if gating not in (_SOFTMAX, _SIGMOID):
        raise Unsupported(f"expert gating function {gating}; known are 1 (softmax), 2 (sigmoid)")
    model_type = "deepseek_v3" if gating == _SIGMOID else "deepseek_v2"
    config = common_config(file, metadata, model_type)
    config["num_key_value_heads"] = config["num_attention_heads"]
    config["num_hidden_layers"] -= metadata.integer(".nextn_predict_layers", 0)
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
    greedy = "group_limited_greedy" if num_groups > 1 else "greedy"
    return {
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length"),
        "n_routed_experts": metadata.integer(".expert_count", 0) or None,
        "n_shared_experts": metadata.integer(".expert_shared_count", 0) or None,
        "num_experts_per_tok": metadata.integer(".expert_used_count", 0),
        "first_k_dense_replace": metadata.integer(".leading_dense_block_count", 0),
        "moe_layer_freq": 1,
        "routed_scaling_factor": metadata.number(".expert_weights_scale", 1.0) or 1.0,
        "norm_topk_prob": normalised,
        "n_group": num_groups,
        "topk_group": metadata.integer(".expert_group_used_count", 1) or 1,
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
    config["num_hidden_layers"] -= metadata.integer(".nextn_predict_layers", 0)
    turned = metadata.integer(".rope.dimension_count", config["head_dim"])
    config["partial_rotary_factor"] = turned / config["head_dim"]
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["use_qk_norm"] = "blk.0.attn_q_norm.weight" in file.tensors
    return config


def _dots1(file: GGUFFile, metadata: Metadata) -> Config:
    return common_config(file, metadata, "dots1") | _experts(metadata, _SIGMOID)


FAMILIES: dict[str, Family] = {
    "deepseek2": _deepseek2,
    "dots1": _dots1,
    "glm4moe": _glm4moe,
}

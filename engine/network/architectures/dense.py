"""Architectures whose feed-forward layers are all dense."""

from engine.network.architectures.common import Config, Family, common_config
from engine.network.architectures.experts import granite_scales, mixtral_config
from engine.network.gguf_values import Metadata
from models.gguf import GGUFFile


def _llama(file: GGUFFile, metadata: Metadata) -> Config:
    if metadata.integer(".expert_count", 0):
        return mixtral_config(file, metadata)
    config = common_config(file, metadata, "llama")
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["mlp_bias"] = "blk.0.ffn_gate.bias" in file.tensors
    return config


def _plain(model_type: str) -> Family:
    """A family that needs nothing beside what all share."""

    def config(file: GGUFFile, metadata: Metadata) -> Config:
        return common_config(file, metadata, model_type)

    return config


def _gemma2(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "gemma2")
    is_27b = config["num_hidden_layers"] == 46
    per_head = config["hidden_size"] / config["num_attention_heads"]
    return config | {
        "query_pre_attn_scalar": per_head if is_27b else config["head_dim"],
        "attn_logit_softcapping": metadata.number(".attn_logit_softcapping", 50.0),
        "final_logit_softcapping": metadata.number(".final_logit_softcapping", 30.0),
        "sliding_window": metadata.integer(".attention.sliding_window", 4096),
    }


def _gemma3(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "gemma3_text")
    is_27b = config["num_hidden_layers"] == 62
    per_head = config["hidden_size"] / config["num_attention_heads"]
    config["query_pre_attn_scalar"] = per_head if is_27b else config["head_dim"]
    config["rope_theta"] = metadata.number(".rope.freq_base", 1_000_000.0)
    config["rope_local_base_freq"] = metadata.number(".rope.freq_base_swa", 10_000.0)
    config["sliding_window"] = metadata.integer(".attention.sliding_window")
    config["sliding_window_pattern"] = 6
    return config


def _phi3(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "phi3")
    rotated = metadata.integer(".rope.dimension_count", config["head_dim"])
    config["partial_rotary_factor"] = rotated / config["head_dim"]
    config["sliding_window"] = metadata.integer(".attention.sliding_window", 0) or None
    scaling = config["rope_scaling"]
    if scaling and scaling["rope_type"] == "longrope":
        original = scaling["original_max_position_embeddings"]
        config["original_max_position_embeddings"] = original
    return config


def _glm4(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "glm4")
    turned = metadata.integer(".rope.dimension_count", config["head_dim"])
    return config | {
        "rope_traditional": True,
        "partial_rotary_factor": turned / config["head_dim"],
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
    }


def _granite(file: GGUFFile, metadata: Metadata) -> Config:
    config = _llama(file, metadata) | {"model_type": "granite"}
    return config | granite_scales(config, metadata)


def _smollm3(file: GGUFFile, metadata: Metadata) -> Config:
    return _llama(file, metadata) | {"model_type": "smollm3", "no_rope_layer_interval": 4}


def _starcoder2(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "starcoder2")
    config["norm_epsilon"] = metadata.number(".attention.layer_norm_epsilon")
    return config


def _command_r(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "cohere")
    config["layer_norm_eps"] = metadata.number(".attention.layer_norm_epsilon")
    config["logit_scale"] = metadata.number(".logit_scale", 1.0)
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["use_qk_norm"] = "blk.0.attn_q_norm.weight" in file.tensors
    return config


def _cohere2(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "cohere2")
    config["layer_norm_eps"] = metadata.number(".attention.layer_norm_epsilon")
    config["logit_scale"] = metadata.number(".logit_scale")
    config["sliding_window"] = metadata.integer(".attention.sliding_window")
    config["sliding_window_pattern"] = 4
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    return config


FAMILIES: dict[str, Family] = {
    "cohere2": _cohere2,
    "command-r": _command_r,
    "gemma": _plain("gemma"),
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "glm4": _glm4,
    "granite": _granite,
    "llama": _llama,
    "olmo2": _plain("olmo2"),
    "phi3": _phi3,
    "qwen2": _plain("qwen2"),
    "qwen3": _plain("qwen3"),
    "smollm3": _smollm3,
    "starcoder2": _starcoder2,
}

"""Architectures whose feed-forward layers are mixtures of experts."""

from engine.network.architectures.common import Config, Family, common_config
from engine.network.gguf_values import Metadata
from models.errors import Unsupported
from models.gguf import GGUFFile


def mixtral_config(file: GGUFFile, metadata: Metadata) -> Config:
    """A llama file with experts."""
    config = common_config(file, metadata, "mixtral")
    config["num_local_experts"] = metadata.integer(".expert_count")
    config["num_experts_per_tok"] = metadata.integer(".expert_used_count")
    return config


def _with_experts(file: GGUFFile, metadata: Metadata, model_type: str) -> Config:
    config = common_config(file, metadata, model_type)
    config["num_experts"] = metadata.integer(".expert_count")
    config["num_experts_per_tok"] = metadata.integer(".expert_used_count")
    return config


def _expert_width(file: GGUFFile, metadata: Metadata) -> int:
    """Older converters did not write it; the tensors always know."""
    tensor = file.tensors.get("blk.0.ffn_down_exps.weight")
    default = tensor.shape[-1] if tensor is not None else None
    return metadata.integer(".expert_feed_forward_length", default)


def _qwen2moe(file: GGUFFile, metadata: Metadata) -> Config:
    config = _with_experts(file, metadata, "qwen2_moe")
    config["moe_intermediate_size"] = _expert_width(file, metadata)
    shared = file.tensors.get("blk.0.ffn_gate_shexp.weight")
    config["shared_expert_intermediate_size"] = metadata.integer(
        ".expert_shared_feed_forward_length", shared.shape[0] if shared is not None else None
    )
    config.setdefault("intermediate_size", config["moe_intermediate_size"])
    return config


def _qwen3moe(file: GGUFFile, metadata: Metadata) -> Config:
    config = _with_experts(file, metadata, "qwen3_moe")
    config["moe_intermediate_size"] = _expert_width(file, metadata)
    config.setdefault("intermediate_size", config["moe_intermediate_size"])
    layers = range(config["num_hidden_layers"])
    config["mlp_only_layers"] = [i for i in layers if f"blk.{i}.ffn_gate.weight" in file.tensors]
    return config | {"decoder_sparse_step": 1, "norm_topk_prob": True}


def _olmoe(file: GGUFFile, metadata: Metadata) -> Config:
    return _with_experts(file, metadata, "olmoe") | {"norm_topk_prob": False}


def _gpt_oss(file: GGUFFile, metadata: Metadata) -> Config:
    config = _with_experts(file, metadata, "gpt_oss")
    config["num_local_experts"] = config.pop("num_experts")
    config["intermediate_size"] = _expert_width(file, metadata)
    config["sliding_window"] = metadata.integer(".attention.sliding_window")
    kinds = ["sliding_attention", "full_attention"]
    config["layer_types"] = [kinds[i % 2] for i in range(config["num_hidden_layers"])]
    scaling = config["rope_scaling"]
    if scaling and (scaling["factor"], scaling["original_max_position_embeddings"]) == (32.0, 4096):
        scaling["truncate"] = False  # as published; files have no key for it
    return config


def _granitemoe(file: GGUFFile, metadata: Metadata) -> Config:
    if "blk.0.ffn_gate_shexp.weight" in file.tensors:
        raise Unsupported("granitemoe with a shared expert is not supported yet")
    config = common_config(file, metadata, "granitemoe")
    config["num_local_experts"] = metadata.integer(".expert_count")
    config["num_experts_per_tok"] = metadata.integer(".expert_used_count")
    return config | {"attention_bias": False} | granite_scales(config, metadata)


def granite_scales(config: Config, metadata: Metadata) -> Config:
    """The four multipliers of the Granite families."""
    per_head = config["hidden_size"] // config["num_attention_heads"]
    return {
        "attention_multiplier": metadata.number(".attention.scale", per_head**-0.5),
        "embedding_multiplier": metadata.number(".embedding_scale", 1.0),
        "residual_multiplier": metadata.number(".residual_scale", 1.0),
        "logits_scaling": metadata.number(".logit_scale", 1.0),
    }


FAMILIES: dict[str, Family] = {
    "gpt-oss": _gpt_oss,
    "granitemoe": _granitemoe,
    "olmoe": _olmoe,
    "qwen2moe": _qwen2moe,
    "qwen3moe": _qwen3moe,
}

"""Architectures whose feed-forward layers are mixtures of experts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.network.architectures.architecture import (
    Architecture,
    Config,
    expert_names,
    unpaired_rows,
)
from engine.network.architectures.common import common_config, num_used_experts
from engine.network.gguf_values import Metadata
from models.errors import Unsupported
from models.formats.gguf import GGUFFile


def mixtral_config(file: GGUFFile, metadata: Metadata) -> Config:
    """A llama file with experts."""
    config = common_config(file, metadata, "mixtral")
    config["num_local_experts"] = metadata.integer(".expert_count")
    config["num_experts_per_tok"] = num_used_experts(metadata)
    return config


def _with_experts(file: GGUFFile, metadata: Metadata, model_type: str) -> Config:
    config = common_config(file, metadata, model_type)
    config["num_experts"] = metadata.integer(".expert_count")
    config["num_experts_per_tok"] = num_used_experts(metadata)
    return config


def _expert_width(file: GGUFFile, metadata: Metadata) -> int:
    """Older converters did not write it; the tensors always know."""
    down = (t for name, t in file.tensors.items() if name.endswith(".ffn_down_exps.weight"))
    default = next((tensor.shape[-1] for tensor in down), None)
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
    config["sliding_window"] = metadata.size(".attention.sliding_window")
    kinds = ["sliding_attention", "full_attention"]
    config["layer_types"] = [kinds[i % 2] for i in range(config["num_hidden_layers"])]
    scaling = config["rope_scaling"]
    if scaling and (scaling["factor"], scaling["original_max_position_embeddings"]) == (32.0, 4096):
        scaling["truncate"] = False  # as published; files have no key for it
    return config


def _granitemoe(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "granitemoe")
    shared = file.tensors.get("blk.0.ffn_gate_shexp.weight")
    if shared is not None:
        config |= {
            "model_type": "granitemoehybrid",
            "layer_types": ["attention"] * config["num_hidden_layers"],
            "shared_intermediate_size": shared.shape[0],
            "has_split_shared_mlp": True,
        }
    config["num_local_experts"] = metadata.integer(".expert_count")
    config["num_experts_per_tok"] = num_used_experts(metadata)
    return config | {"attention_bias": False} | granite_scales(config, metadata)


def _minimax(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "minimax")
    return config | {
        "num_local_experts": metadata.integer(".expert_count"),
        "num_experts_per_tok": num_used_experts(metadata),
        "intermediate_size": _expert_width(file, metadata),
        "shared_intermediate_size": 0,
        "rotary_dim": metadata.integer(".rope.dimension_count", config["head_dim"]),
        "use_qk_norm": "blk.0.attn_q_norm.weight" in file.tensors,
    }


def _ernie_moe(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "ernie4_5_moe")
    step = metadata.size(".interleave_moe_layer_step", 1)
    return config | {
        "use_bias": False,
        "moe_num_experts": metadata.integer(".expert_count"),
        "moe_k": num_used_experts(metadata),
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length"),
        "moe_num_shared_experts": metadata.integer(".expert_shared_count", 0),
        "moe_layer_start_index": metadata.integer(".leading_dense_block_count", 0),
        "moe_layer_interval": step,
    }


def _hunyuan_moe(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "hunyuan")
    num_shared = metadata.integer(".expert_shared_count", 0)
    return config | {
        "attention_bias": False,
        "moe_topk": num_used_experts(metadata),
        "num_experts": metadata.integer(".expert_count"),
        "num_shared_expert": num_shared,
        "norm_topk_prob": True,
        "use_mixed_mlp_moe": bool(num_shared),
        "moe_intermediate_size": _expert_width(file, metadata),
        "use_qk_norm": "blk.0.attn_q_norm.weight" in file.tensors,
        "use_cla": False,
        "cla_share_factor": 1,
        "rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1.0},
    }


def _llama4(file: GGUFFile, metadata: Metadata) -> Config:
    """Sizes that files have no keys for are those that llama.cpp takes."""
    if metadata.value(".attention.sliding_window") == 0:
        raise Unsupported("llama4 without chunks (MobileLLM) is not known here")
    if num_used_experts(metadata) != 1:
        raise Unsupported("llama4 with more than one expert for each token is not known here")
    config = common_config(file, metadata, "llama4")
    text = config | {
        "attention_bias": False,
        "attention_chunk_size": 8192,
        "interleave_moe_layer_step": metadata.size(".interleave_moe_layer_step"),
        "intermediate_size": _expert_width(file, metadata),
        "intermediate_size_mlp": config["intermediate_size"],
        "num_local_experts": metadata.integer(".expert_count"),
        "num_experts_per_tok": num_used_experts(metadata),
        "use_qk_norm": metadata.integer(".expert_count") != 128,
    }
    return config | {"text_config": text}


def _unpaired_if_stretched(path: str, config: Mapping[str, Any]) -> np.ndarray | None:
    """mlx-lm turns pairs, unless each frequency has a factor of its own: then halves."""
    return unpaired_rows(path, config) if config["rope_scaling"] else None


def granite_scales(config: Config, metadata: Metadata) -> Config:
    """The four multipliers of the Granite families."""
    per_head = config["hidden_size"] // config["num_attention_heads"]
    return {
        "attention_multiplier": metadata.number(".attention.scale", per_head**-0.5),
        "embedding_multiplier": metadata.number(".embedding_scale", 1.0),
        "residual_multiplier": metadata.number(".residual_scale", 1.0),
        "logits_scaling": metadata.number(".logit_scale", 1.0),
    }


ARCHITECTURES: dict[str, Architecture] = {
    "ernie4_5-moe": Architecture(
        _ernie_moe,
        expert_names("mlp.gate", "mlp.switch_mlp", "mlp.shared_experts"),
        whole={"exp_probs_b.bias": "mlp.e_score_correction_bias"},
    ),
    "gpt-oss": Architecture(
        _gpt_oss,
        expert_names("mlp.router", "mlp.experts")
        | {"post_attention_norm": "post_attention_layernorm"},
    ),
    "granitemoe": Architecture(
        _granitemoe,
        expert_names("block_sparse_moe.router.layer", "block_sparse_moe.switch_mlp", "shared_mlp"),
        row_order=unpaired_rows,
    ),
    "hunyuan-moe": Architecture(
        _hunyuan_moe,
        expert_names("mlp.gate.wg", "mlp.switch_mlp", "mlp.shared_mlp")
        | {
            "attn_q_norm": "self_attn.query_layernorm",
            "attn_k_norm": "self_attn.key_layernorm",
        },
    ),
    "llama4": Architecture(
        _llama4,
        expert_names("feed_forward.router", "feed_forward.experts", "feed_forward.shared_expert")
        | {f"ffn_{part}": f"feed_forward.{part}_proj" for part in ("gate", "up", "down")},
        {
            "token_embd": "language_model.model.embed_tokens",
            "output_norm": "language_model.model.norm",
            "output": "language_model.lm_head",
        },
        "language_model.model.layers",
        row_order=_unpaired_if_stretched,
    ),
    "minimax-m2": Architecture(
        _minimax,
        expert_names("block_sparse_moe.gate", "block_sparse_moe.switch_mlp"),
        whole={"exp_probs_b.bias": "block_sparse_moe.e_score_correction_bias"},
    ),
    "olmoe": Architecture(_olmoe, expert_names("mlp.gate", "mlp.switch_mlp")),
    "qwen2moe": Architecture(
        _qwen2moe,
        expert_names("mlp.gate", "mlp.switch_mlp", "mlp.shared_expert")
        | {"ffn_gate_inp_shexp": "mlp.shared_expert_gate"},
    ),
    "qwen3moe": Architecture(_qwen3moe, expert_names("mlp.gate", "mlp.switch_mlp")),
    "qwen3vlmoe": Architecture(_qwen3moe, expert_names("mlp.gate", "mlp.switch_mlp")),
}

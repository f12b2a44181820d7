"""The Gemma families: norms around both halves of a layer, windows, caps."""

import math

from engine.network.architectures.architecture import Architecture, Config, expert_names
from engine.network.architectures.common import (
    common_config,
    layer_kinds,
    num_used_experts,
    read_base,
)
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile


def _gemma(file: GGUFFile, metadata: Metadata) -> Config:
    return common_config(file, metadata, "gemma")


def _gemma2(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "gemma2")
    is_27b = config["num_hidden_layers"] == 46
    per_head = config["hidden_size"] / config["num_attention_heads"]
    return config | {
        "query_pre_attn_scalar": per_head if is_27b else config["head_dim"],
        "attn_logit_softcapping": metadata.number(".attn_logit_softcapping", 50.0),
        "final_logit_softcapping": metadata.number(".final_logit_softcapping", 30.0),
        "sliding_window": metadata.size(".attention.sliding_window", 4096),
    }


def _gemma3(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "gemma3_text")
    is_27b = config["num_hidden_layers"] == 62
    per_head = config["hidden_size"] / config["num_attention_heads"]
    config["query_pre_attn_scalar"] = per_head if is_27b else config["head_dim"]
    config["rope_theta"] = read_base(metadata, ".rope.freq_base", 1_000_000.0)
    config["rope_local_base_freq"] = read_base(metadata, ".rope.freq_base_swa", 10_000.0)
    config["sliding_window"] = metadata.size(".attention.sliding_window")
    config["sliding_window_pattern"] = 6
    return config


def _gemma3n(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "gemma3n")
    widest = metadata.array(".activation_sparsity_scale")
    sparsity = [] if widest is None else [_share_below(float(scale)) for scale in widest]
    text = config | {
        "rope_local_base_freq": read_base(metadata, ".rope.freq_base_swa", 10_000.0),
        "sliding_window": metadata.size(".attention.sliding_window"),
        "layer_types": layer_kinds(metadata, config["num_hidden_layers"]),
        "num_kv_shared_layers": _num_shared_layers(metadata, config),
        "has_bare_shared_layers": True,
        "hidden_size_per_layer_input": metadata.integer(".embedding_length_per_layer_input"),
        "vocab_size_per_layer_input": _num_rows(file, "per_layer_token_embd.weight"),
        "final_logit_softcapping": metadata.number(".final_logit_softcapping", 30.0),
        "activation_sparsity_pattern": sparsity or [0.0] * config["num_hidden_layers"],
        "altup_num_inputs": metadata.integer(".altup.num_inputs"),
        "altup_active_idx": metadata.integer(".altup.active_idx"),
        "altup_coef_clip": 120.0,
        "altup_correct_scale": True,
        "laurel_rank": _num_rows(file, "blk.0.laurel_l.weight"),
    }
    return text | {"text_config": text}


def _share_below(deviations: float) -> float:
    """Of a normal distribution."""
    return 0.5 * (1.0 + math.erf(deviations / math.sqrt(2.0)))


def _num_shared_layers(metadata: Metadata, config: Config) -> int:
    """How many layers, the last ones, read keys and values of earlier ones."""
    number = metadata.integer(".attention.shared_kv_layers", 0)
    num_layers: int = config["num_hidden_layers"]
    if not 0 <= number < num_layers:
        name = metadata.name(".attention.shared_kv_layers")
        raise InvalidModelFile(f"{name!r} is {number}, of {num_layers} layers")
    return number


def _num_rows(file: GGUFFile, name: str) -> int:
    tensor = file.tensors.get(name)
    if tensor is None:
        raise InvalidModelFile(f"the GGUF file has no tensor {name!r}")
    return tensor.shape[0]


def _gemma4(file: GGUFFile, metadata: Metadata) -> Config:
    per_layer = {".feed_forward_length": 0, ".attention.head_count_kv": 1}
    config = common_config(file, metadata.replaced(per_layer), "gemma4_text")
    kinds = layer_kinds(metadata, config["num_hidden_layers"])
    local, full = kinds.index("sliding_attention"), kinds.index("full_attention")
    wide = metadata.size(".attention.key_length")
    narrow = metadata.size(".attention.key_length_swa", wide)
    return (
        config
        | _gemma4_experts(metadata)
        | {
            "head_dim": narrow,
            "global_head_dim": wide,
            "num_key_value_heads": _num_rows(file, f"blk.{local}.attn_k.weight") // narrow,
            "num_global_key_value_heads": _num_rows(file, f"blk.{full}.attn_k.weight") // wide,
            "attention_k_eq_v": f"blk.{full}.attn_v.weight" not in file.tensors,
            "intermediate_size": _num_rows(file, "blk.0.ffn_up.weight"),
            "use_double_wide_mlp": _has_wider_layers(file, config["num_hidden_layers"]),
            "layer_types": kinds,
            "sliding_window": metadata.size(".attention.sliding_window"),
            "num_kv_shared_layers": _num_shared_layers(metadata, config),
            "has_bare_shared_layers": True,
            "hidden_size_per_layer_input": metadata.integer(".embedding_length_per_layer_input", 0),
            "vocab_size_per_layer_input": config["vocab_size"],
            "final_logit_softcapping": metadata.number(".final_logit_softcapping", 30.0),
            "rope_scaling": None,
            "rope_parameters": _gemma4_rope(config, metadata),
        }
    )


def _has_wider_layers(file: GGUFFile, num_layers: int) -> bool:
    last = _num_rows(file, f"blk.{num_layers - 1}.ffn_up.weight")
    return last == 2 * _num_rows(file, "blk.0.ffn_up.weight")


def _gemma4_rope(config: Config, metadata: Metadata) -> Config:
    """Full attention turns a part of each head: the others' frequencies have a huge factor."""
    scaling = config["rope_scaling"]
    factors = scaling["short_factor"] if scaling else [1.0]
    share = sum(factor < 1e20 for factor in factors) / len(factors)
    return {
        "full_attention": {
            "rope_type": "proportional",
            "rope_theta": config["rope_theta"],
            "partial_rotary_factor": share,
        },
        "sliding_attention": {
            "rope_type": "default",
            "rope_theta": read_base(metadata, ".rope.freq_base_swa", 10_000.0),
        },
    }


def _gemma4_experts(metadata: Metadata) -> Config:
    num_experts = metadata.integer(".expert_count", 0)
    if not num_experts:
        return {"enable_moe_block": False}
    return {
        "enable_moe_block": True,
        "num_experts": num_experts,
        "top_k_experts": num_used_experts(metadata),
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length"),
    }


_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_PER_LAYER = _NORMS | {
    "inp_gate": "per_layer_input_gate",
    "proj": "per_layer_projection",
    "post_norm": "post_per_layer_input_norm",
}
_GEMMA3N = "model.language_model"


def _per_layer_top(root: str) -> dict[str, str]:
    return {
        "token_embd": f"{root}.embed_tokens",
        "output_norm": f"{root}.norm",
        "per_layer_token_embd": f"{root}.embed_tokens_per_layer",
        "per_layer_model_proj": f"{root}.per_layer_model_projection",
        "per_layer_proj_norm": f"{root}.per_layer_projection_norm",
    }


ARCHITECTURES: dict[str, Architecture] = {
    "gemma": Architecture(_gemma, adds_one_to_norms=True),
    "gemma2": Architecture(_gemma2, _NORMS, adds_one_to_norms=True),
    "gemma3": Architecture(_gemma3, _NORMS, adds_one_to_norms=True),
    "gemma3n": Architecture(
        _gemma3n,
        _PER_LAYER
        | {
            "altup_correct_coef": "altup.correction_coefs",
            "altup_predict_coef": "altup.prediction_coefs",
            "altup_router": "altup.modality_router",
            "altup_router_norm": "altup.router_norm",
            "laurel_l": "laurel.linear_left",
            "laurel_r": "laurel.linear_right",
            "laurel_post_norm": "laurel.post_laurel_norm",
        },
        _per_layer_top(_GEMMA3N)
        | {
            "altup_proj": f"{_GEMMA3N}.altup_projections.*",
            "altup_unembd_proj": f"{_GEMMA3N}.altup_unembed_projections.*",
        },
        f"{_GEMMA3N}.layers",
        {"altup_correct_scale.weight": "altup.correct_output_scale"},
    ),
    "gemma4": Architecture(
        _gemma4,
        _PER_LAYER
        | expert_names("router.proj", "experts.switch_glu")
        | {
            "pre_ffw_norm_2": "pre_feedforward_layernorm_2",
            "post_ffw_norm_1": "post_feedforward_layernorm_1",
            "post_ffw_norm_2": "post_feedforward_layernorm_2",
        },
        _per_layer_top("model"),
        whole={
            "layer_output_scale.weight": "layer_scalar",
            "ffn_gate_inp.scale": "router.scale",
            "ffn_down_exps.scale": "router.per_expert_scale",
        },
    ),
}

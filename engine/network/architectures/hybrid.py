"""Architectures in which some layers attend and others keep a state of their own."""

import math

from engine.network.architectures.architecture import (
    Architecture,
    Config,
    expert_names,
    unpaired_rows,
)
from engine.network.architectures.common import common_config, num_used_experts
from engine.network.architectures.experts import granite_scales
from engine.network.architectures.recurrent import (
    SSM_NAMES,
    SSM_PARAMETERS,
    epsilon,
    state_head_dim,
)
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile


def _layers_with(file: GGUFFile, num_layers: int, tensor: str) -> list[int]:
    return [layer for layer in range(num_layers) if f"blk.{layer}.{tensor}" in file.tensors]


def _lfm2(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "lfm2")
    layers = _layers_with(file, config["num_hidden_layers"], "attn_q.weight")
    if not layers:
        raise InvalidModelFile(f"no layer of this {metadata.architecture} model attends")
    return config | {
        "norm_eps": config["rms_norm_eps"],
        "conv_bias": False,
        "conv_L_cache": metadata.size(".shortconv.l_cache"),
        "full_attn_idxs": layers,
        "block_dim": config["hidden_size"],
        "block_ff_dim": config["intermediate_size"],
        "block_multiple_of": 1,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
    }


def _lfm2moe(file: GGUFFile, metadata: Metadata) -> Config:
    return _lfm2(file, metadata) | {
        "model_type": "lfm2_moe",
        "num_experts": metadata.integer(".expert_count"),
        "num_experts_per_tok": num_used_experts(metadata),
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length"),
        "num_dense_layers": metadata.integer(".leading_dense_block_count", 0),
        "use_expert_bias": any(name.endswith("exp_probs_b.bias") for name in file.tensors),
        "norm_topk_prob": True,
        "routed_scaling_factor": metadata.number(".expert_weights_scale", 1.0) or 1.0,
    }


def _mamba_parts(file: GGUFFile, metadata: Metadata) -> Config:
    """The sizes of Mamba 2 within a layer, under the names of hybrid families."""
    heads = metadata.size(".ssm.time_step_rank")
    inner = metadata.size(".ssm.inner_size")
    names = {name.split(".", 2)[-1] for name in file.tensors}
    return {
        "mamba_n_heads": heads,
        "mamba_d_head": state_head_dim(inner, heads),
        "mamba_d_ssm": inner,
        "mamba_d_state": metadata.size(".ssm.state_size"),
        "mamba_d_conv": metadata.size(".ssm.conv_kernel"),
        "mamba_n_groups": metadata.size(".ssm.group_count", 1),
        "mamba_conv_bias": "ssm_conv1d.bias" in names,
        "mamba_proj_bias": "ssm_in.bias" in names,
        "mamba_rms_norm": "ssm_norm.weight" in names,
        "time_step_limit": (0.0, math.inf),
    }


def _granite_hybrid(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "granitemoehybrid")
    attending = set(_layers_with(file, config["num_hidden_layers"], "attn_q.weight"))
    kinds = ["attention" if i in attending else "mamba" for i in range(config["num_hidden_layers"])]
    is_turned = metadata.flag(".rope.scaling.finetuned", True)
    return {
        **config,
        **_mamba_parts(file, metadata),
        **granite_scales(config, metadata),
        "num_key_value_heads": _num_kv_heads(file, config),
        "layer_types": kinds,
        "attention_bias": False,
        "position_embedding_type": "rope" if is_turned else "nope",
        "num_local_experts": metadata.integer(".expert_count", 0),
        "num_experts_per_tok": num_used_experts(metadata),
        "shared_intermediate_size": metadata.integer(".expert_shared_feed_forward_length", 0),
        "has_split_shared_mlp": True,
    }


def _num_kv_heads(file: GGUFFile, config: Config) -> int:
    """By the first layer that attends: converters left it out for hybrids at times."""
    for name, tensor in file.tensors.items():
        if name.endswith("attn_k.weight"):
            return tensor.shape[0] // int(config["head_dim"])
    return int(config["num_key_value_heads"])


def _falcon_h1(file: GGUFFile, metadata: Metadata) -> Config:
    """Its multipliers are in the weights."""
    ones = dict.fromkeys(("lm_head_multiplier", "embedding_multiplier"), 1.0)
    return common_config(file, metadata, "falcon_h1") | _mamba_parts(file, metadata) | ones


def _jamba(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "jamba")
    num_layers = config["num_hidden_layers"]
    attending = set(_layers_with(file, num_layers, "attn_q.weight"))
    routed = _layers_with(file, num_layers, "ffn_gate_inp.weight")
    period = routed[1] - routed[0] if len(routed) > 1 else num_layers
    return config | {
        "layers_block_type": [
            "attention" if i in attending else "mamba" for i in range(num_layers)
        ],
        "attn_layer_offset": 0,
        "attn_layer_period": 1,
        "expert_layer_offset": -routed[0] % period if routed else 0,
        "expert_layer_period": period,
        "num_experts": metadata.integer(".expert_count", 0) if routed else 1,
        "num_experts_per_tok": num_used_experts(metadata),
        "mamba_d_conv": metadata.size(".ssm.conv_kernel"),
        "mamba_d_state": metadata.size(".ssm.state_size"),
        "mamba_expand": metadata.size(".ssm.inner_size") // config["hidden_size"],
        "mamba_dt_rank": metadata.size(".ssm.time_step_rank"),
    }


_KINDS = {
    "ssm_in.weight": "M",
    "attn_q.weight": "*",
    "ffn_gate_inp.weight": "E",
    "ffn_up.weight": "-",
}
"""Layers of Nemotron-H by a tensor that they have, in its letters."""


def _nemotron_h(file: GGUFFile, metadata: Metadata) -> Config:
    per_layer = metadata.replaced({".feed_forward_length": 0})
    config = common_config(file, per_layer, "nemotron_h")
    num_layers = config["num_hidden_layers"]
    letters = [
        next((_KINDS[t] for t in _KINDS if f"blk.{layer}.{t}" in file.tensors), "")
        for layer in range(num_layers)
    ]
    if not all(letters):
        raise InvalidModelFile(f"layer {letters.index('')} has no known tensor")
    parts = _mamba_parts(file, metadata)
    return {
        **config,
        **_nemotron_experts(metadata),
        "hybrid_override_pattern": letters,
        "layer_norm_epsilon": epsilon(metadata),
        "intermediate_size": _row_count(file, "ffn_up.weight"),
        "attention_bias": False,
        "mlp_bias": False,
        "use_bias": False,
        "mamba_num_heads": parts["mamba_n_heads"],
        "mamba_head_dim": parts["mamba_d_head"],
        "mamba_proj_bias": parts["mamba_proj_bias"],
        "use_conv_bias": parts["mamba_conv_bias"],
        "ssm_state_size": parts["mamba_d_state"],
        "conv_kernel": parts["mamba_d_conv"],
        "n_groups": parts["mamba_n_groups"],
    }


def _nemotron_experts(metadata: Metadata) -> Config:
    return {
        "n_routed_experts": metadata.integer(".expert_count", 0) or None,
        "num_experts_per_tok": num_used_experts(metadata),
        "n_shared_experts": metadata.integer(".expert_shared_count", 0) or None,
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length", 0),
        "moe_shared_expert_intermediate_size": metadata.integer(
            ".expert_shared_feed_forward_length", 0
        ),
        "moe_latent_size": metadata.integer(".moe_latent_size", 0) or None,
        "n_group": metadata.integer(".expert_group_count", 1) or 1,
        "topk_group": metadata.integer(".expert_group_used_count", 1) or 1,
        "norm_topk_prob": metadata.flag(".expert_weights_norm", True),
        "routed_scaling_factor": metadata.number(".expert_weights_scale", 1.0) or 1.0,
    }


def _row_count(file: GGUFFile, ending: str) -> int:
    return next((t.shape[0] for name, t in file.tensors.items() if name.endswith(ending)), 0)


_LFM2_NAMES = {
    "attn_norm": "operator_norm",
    "attn_q_norm": "self_attn.q_layernorm",
    "attn_k_norm": "self_attn.k_layernorm",
    "attn_output": "self_attn.out_proj",
    "shortconv.conv": "conv.conv",
    "shortconv.in_proj": "conv.in_proj",
    "shortconv.out_proj": "conv.out_proj",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_up": "feed_forward.w3",
    "ffn_down": "feed_forward.w2",
}
_LFM2_TOP = {"output_norm": "model.embedding_norm", "token_embd_norm": "model.embedding_norm"}
_FEED_FORWARD = {f"ffn_{part}": f"feed_forward.{part}_proj" for part in ("gate", "up", "down")}
_MAMBA_NAMES = {stem: f"mamba.{module}" for stem, module in SSM_NAMES.items()}
_MAMBA_PARAMETERS = {stem: f"mamba.{name}" for stem, name in SSM_PARAMETERS.items()}
_MAMBA2_PARAMETERS = _MAMBA_PARAMETERS | {"ssm_dt.bias": "mamba.dt_bias"}
_FINAL = {"output_norm": "model.final_layernorm"}
_NEMOTRON_NAMES = {stem: f"mixer.{module}" for stem, module in SSM_NAMES.items()} | {
    "attn_norm": "norm",
    "attn_q": "mixer.q_proj",
    "attn_k": "mixer.k_proj",
    "attn_v": "mixer.v_proj",
    "attn_output": "mixer.o_proj",
    "ffn_up": "mixer.up_proj",
    "ffn_down": "mixer.down_proj",
    "ffn_gate_inp": "mixer.gate",
    "ffn_up_exps": "mixer.switch_mlp.fc1",
    "ffn_down_exps": "mixer.switch_mlp.fc2",
    "ffn_up_shexp": "mixer.shared_experts.up_proj",
    "ffn_down_shexp": "mixer.shared_experts.down_proj",
    "ffn_latent_down": "mixer.fc1_latent_proj",
    "ffn_latent_up": "mixer.fc2_latent_proj",
}
_NEMOTRON_PARAMETERS = {stem: f"mixer.{name}" for stem, name in SSM_PARAMETERS.items()} | {
    "ssm_dt.bias": "mixer.dt_bias",
    "exp_probs_b.bias": "mixer.gate.e_score_correction_bias",
}
_NEMOTRON_H = Architecture(
    _nemotron_h,
    _NEMOTRON_NAMES,
    {"token_embd": "backbone.embeddings", "output_norm": "backbone.norm_f"},
    "backbone.layers",
    _NEMOTRON_PARAMETERS,
)

ARCHITECTURES: dict[str, Architecture] = {
    "falcon-h1": Architecture(
        _falcon_h1,
        _MAMBA_NAMES | _FEED_FORWARD | {"ffn_norm": "pre_ff_layernorm"},
        _FINAL,
        whole=_MAMBA2_PARAMETERS | {"ffn_norm": "pre_ff_layernorm.weight"},
    ),
    "granitehybrid": Architecture(
        _granite_hybrid,
        _MAMBA_NAMES
        | expert_names(
            "block_sparse_moe.router.layer", "block_sparse_moe.switch_mlp", "shared_mlp"
        ),
        whole=_MAMBA2_PARAMETERS,
        row_order=unpaired_rows,
    ),
    "jamba": Architecture(
        _jamba,
        _MAMBA_NAMES
        | _FEED_FORWARD
        | {"ffn_norm": "pre_ff_layernorm"}
        | expert_names("feed_forward.router", "feed_forward.switch_mlp"),
        _FINAL,
        whole=_MAMBA_PARAMETERS,
    ),
    "lfm2": Architecture(_lfm2, _LFM2_NAMES, _LFM2_TOP),
    "lfm2moe": Architecture(
        _lfm2moe,
        _LFM2_NAMES | _FEED_FORWARD | expert_names("feed_forward.gate", "feed_forward.switch_mlp"),
        _LFM2_TOP,
        whole={"exp_probs_b.bias": "feed_forward.expert_bias"},
    ),
    "nemotron_h": _NEMOTRON_H,
    "nemotron_h_moe": _NEMOTRON_H,
}

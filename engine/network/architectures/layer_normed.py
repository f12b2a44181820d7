"""Architectures that normalise by mean and variance, most of them with biases."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.network.architectures.architecture import Architecture, Config
from engine.network.architectures.common import common_config
from engine.network.gguf_values import Metadata
from models.errors import Unsupported
from models.formats.gguf import GGUFFile


def _layer_normed(file: GGUFFile, metadata: Metadata, model_type: str) -> Config:
    """What these share: the epsilon under each name it has, and how much of a head is turned."""
    config = common_config(file, metadata, model_type)
    epsilon = metadata.number(".attention.layer_norm_epsilon")
    turned = metadata.integer(".rope.dimension_count", config["head_dim"])
    names = ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")
    return (
        config
        | dict.fromkeys(names, epsilon)
        | {
            "partial_rotary_factor": turned / config["head_dim"],
            "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        }
    )


def _starcoder2(file: GGUFFile, metadata: Metadata) -> Config:
    return _layer_normed(file, metadata, "starcoder2")


def _command_r(file: GGUFFile, metadata: Metadata) -> Config:
    config = _layer_normed(file, metadata, "cohere")
    config["logit_scale"] = metadata.number(".logit_scale", 1.0)
    config["use_qk_norm"] = "blk.0.attn_q_norm.weight" in file.tensors
    return config


def _cohere2(file: GGUFFile, metadata: Metadata) -> Config:
    config = _layer_normed(file, metadata, "cohere2")
    config["logit_scale"] = metadata.number(".logit_scale")
    config["sliding_window"] = metadata.size(".attention.sliding_window")
    config["sliding_window_pattern"] = 4
    return config


def _nemotron(file: GGUFFile, metadata: Metadata) -> Config:
    config = _layer_normed(file, metadata, "nemotron")
    return config | {"hidden_act": "relu2", "mlp_bias": "blk.0.ffn_up.bias" in file.tensors}


def _stablelm(file: GGUFFile, metadata: Metadata) -> Config:
    if metadata.flag(".use_parallel_residual", False) or "blk.0.attn_q_norm.weight" in file.tensors:
        raise Unsupported("StableLM with parallel layers or norms of heads is not known here")
    config = _layer_normed(file, metadata, "stablelm")
    return config | {"use_qkv_bias": config["attention_bias"]}


def _phi2(file: GGUFFile, metadata: Metadata) -> Config:
    config = _layer_normed(file, metadata, "phi")
    up = file.tensors.get("blk.0.ffn_up.weight")
    return config | ({"intermediate_size": up.shape[0]} if up is not None else {})


def _gptneox(file: GGUFFile, metadata: Metadata) -> Config:
    config = _layer_normed(file, metadata, "gpt_neox")
    return config | {
        "rotary_pct": config["partial_rotary_factor"],
        "rotary_emb_base": config["rope_theta"],
        "use_parallel_residual": metadata.flag(".use_parallel_residual", True),
    }


def _gpt2(file: GGUFFile, metadata: Metadata) -> Config:
    config = _layer_normed(file, metadata, "gpt2")
    length = config["max_position_embeddings"]
    return config | {
        "n_ctx": length,
        "n_positions": length,
        "n_embd": config["hidden_size"],
        "n_layer": config["num_hidden_layers"],
        "n_head": config["num_attention_heads"],
    }


def _starcoder(file: GGUFFile, metadata: Metadata) -> Config:
    config = _gpt2(file, metadata) | {"model_type": "gpt_bigcode"}
    up = file.tensors.get("blk.0.ffn_up.weight")
    config |= {"attention_bias": True, "mlp_bias": True}
    return config | {"n_inner": up.shape[0] if up is not None else 4 * config["n_embd"]}


def _by_head(path: str, config: Mapping[str, Any]) -> np.ndarray | None:
    """Rows of q, k and v, each of all heads, as q, k and v of each head."""
    if path.split(".")[-2] != "query_key_value":
        return None
    heads, size = config["num_attention_heads"], config["head_dim"]
    rows = np.arange(3 * heads * size).reshape(3, heads, size)
    return rows.swapaxes(0, 1).reshape(-1)


_GPT2_NAMES = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_NEOX_NAMES = {
    "attn_qkv": "attention.query_key_value",
    "attn_output": "attention.dense",
    "ffn_up": "mlp.dense_h_to_4h",
    "ffn_down": "mlp.dense_4h_to_h",
}

ARCHITECTURES: dict[str, Architecture] = {
    "cohere2": Architecture(_cohere2),
    "command-r": Architecture(_command_r),
    "gpt2": Architecture(
        _gpt2,
        _GPT2_NAMES,
        {"token_embd": "model.wte", "position_embd": "model.wpe", "output_norm": "model.ln_f"},
        "model.h",
    ),
    "gptneox": Architecture(
        _gptneox,
        _NEOX_NAMES,
        {
            "token_embd": "model.embed_in",
            "output_norm": "model.final_layer_norm",
            "output": "model.embed_out",
        },
        "model.h",
        row_order=_by_head,
    ),
    "nemotron": Architecture(_nemotron, adds_one_to_norms=True),
    "phi2": Architecture(
        _phi2,
        {"attn_output": "self_attn.dense", "ffn_up": "mlp.fc1", "ffn_down": "mlp.fc2"},
        {"output_norm": "model.final_layernorm"},
    ),
    "stablelm": Architecture(_stablelm),
    "starcoder": Architecture(
        _starcoder,
        _GPT2_NAMES,
        {
            "token_embd": "transformer.wte",
            "position_embd": "transformer.wpe",
            "output_norm": "transformer.ln_f",
        },
        "transformer.h",
    ),
    "starcoder2": Architecture(_starcoder2, {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}),
}

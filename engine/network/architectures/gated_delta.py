"""Qwen3-Next and Qwen3.5: gated delta rule (Yang et al. 2024) in most layers, attention in others.

Files of Qwen3.5 keep the heads of values in another order than mlx-lm: those that share a key head
lie apart. Rows are put back; the columns that multiply the heads' results stay as stored, and
`engine.network.tiled_heads` puts the results into their order.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.network.architectures.architecture import Architecture, Config, expert_names
from engine.network.architectures.common import common_config, num_used_experts
from engine.network.architectures.recurrent import state_head_dim
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import GGUFFile


def _gated_delta(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "qwen3_5")
    num_layers = config["num_hidden_layers"]
    interval = metadata.size(".full_attention_interval", 4)
    for layer in range(num_layers):
        is_recurrent = f"blk.{layer}.ssm_out.weight" in file.tensors
        if is_recurrent != ((layer + 1) % interval != 0):
            raise Unsupported(f"layer {layer} is not of the kind that every {interval}th has")
    _check_rows(file, metadata)
    heads = metadata.size(".ssm.time_step_rank")
    turned = metadata.integer(".rope.dimension_count", config["head_dim"])
    rope = {"type": "default"} | (config["rope_scaling"] or {})
    rope |= {
        "rope_theta": config["rope_theta"],
        "partial_rotary_factor": turned / config["head_dim"],
    }
    return (
        config
        | _experts(metadata)
        | {
            "linear_num_value_heads": heads,
            "linear_num_key_heads": metadata.size(".ssm.group_count"),
            "linear_key_head_dim": metadata.size(".ssm.state_size"),
            "linear_value_head_dim": state_head_dim(metadata.size(".ssm.inner_size"), heads),
            "linear_conv_kernel_dim": metadata.size(".ssm.conv_kernel"),
            "full_attention_interval": interval,
            "rope_parameters": rope,
        }
    )


def _check_rows(file: GGUFFile, metadata: Metadata) -> None:
    """Sizes from which orders of rows are made must be those of the file."""
    keys = metadata.size(".ssm.group_count") * metadata.size(".ssm.state_size")
    expected = 2 * keys + metadata.size(".ssm.inner_size")
    found = file.tensors.get("blk.0.attn_qkv.weight")
    if found is None or found.shape[0] != expected:
        raise InvalidModelFile(f"'blk.0.attn_qkv.weight' does not have {expected} rows")


def _experts(metadata: Metadata) -> Config:
    if not metadata.integer(".expert_count", 0):
        return {"num_experts": 0}
    return {
        "num_experts": metadata.integer(".expert_count"),
        "num_experts_per_tok": num_used_experts(metadata),
        "moe_intermediate_size": metadata.integer(".expert_feed_forward_length"),
        "shared_expert_intermediate_size": metadata.integer(
            ".expert_shared_feed_forward_length", 0
        ),
        "norm_topk_prob": True,
    }


def _qwen35(file: GGUFFile, metadata: Metadata) -> Config:
    config = _gated_delta(file, metadata)
    has_groups = config["linear_num_value_heads"] != config["linear_num_key_heads"]
    return config | {"has_tiled_value_heads": has_groups}


def _grouped_heads(path: str, config: Mapping[str, Any]) -> np.ndarray | None:
    """Rows of value heads from (value of a key, key) to (key, value of a key)."""
    if not config["has_tiled_value_heads"]:
        return None
    keys, size = config["linear_num_key_heads"], config["linear_value_head_dim"]
    per_key = config["linear_num_value_heads"] // keys
    name = path.removesuffix(".weight").rpartition(".")[2]
    if name in ("in_proj_a", "in_proj_b", "A_log", "dt_bias"):
        return _transposed(per_key, keys, 1)
    if name == "in_proj_z":
        return _transposed(per_key, keys, size)
    if name in ("in_proj_qkv", "conv1d"):
        before = 2 * keys * config["linear_key_head_dim"]
        rows = before + _transposed(per_key, keys, size)
        return np.concatenate([np.arange(before), rows])
    return None


def _transposed(outer: int, inner: int, size: int) -> np.ndarray:
    rows = np.arange(outer * inner * size).reshape(outer, inner, size)
    return rows.swapaxes(0, 1).reshape(-1)


def _parted_rows(path: str, config: Mapping[str, Any]) -> np.ndarray | None:
    """From both gates of each key head to one gate of all heads, then the other."""
    if "in_proj_b|in_proj_a" not in path:
        return None
    keys = config["linear_num_key_heads"]
    return _transposed(keys, 2, config["linear_num_value_heads"] // keys)


_NAMES = {
    "post_attention_norm": "post_attention_layernorm",
    "attn_qkv": "linear_attn.in_proj_qkv",
    "attn_gate": "linear_attn.in_proj_z",
    "ssm_alpha": "linear_attn.in_proj_a",
    "ssm_beta": "linear_attn.in_proj_b",
    "ssm_ba": "linear_attn.in_proj_b|in_proj_a",
    "ssm_conv1d": "linear_attn.conv1d",
    "ssm_norm": "linear_attn.norm",
    "ssm_out": "linear_attn.out_proj",
    **expert_names("mlp.gate", "mlp.switch_mlp", "mlp.shared_expert"),
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
}
_TOP = {
    "token_embd": "language_model.model.embed_tokens",
    "output_norm": "language_model.model.norm",
    "output": "language_model.lm_head",
}
_LAYERS = "language_model.model.layers"
_WHOLE = {"ssm_a": "linear_attn.A_log", "ssm_dt.bias": "linear_attn.dt_bias"}
_QWEN35 = Architecture(_qwen35, _NAMES, _TOP, _LAYERS, _WHOLE, _grouped_heads)

ARCHITECTURES: dict[str, Architecture] = {
    "qwen35": _QWEN35,
    "qwen35moe": _QWEN35,
    "qwen3next": Architecture(_gated_delta, _NAMES, _TOP, _LAYERS, _WHOLE, _parted_rows),
}

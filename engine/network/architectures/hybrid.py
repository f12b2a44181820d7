"""Architectures with layers that keep other state than keys and values."""

import numpy as np

from engine.network.architectures.common import Config, Family, common_config
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.gguf import GGUFFile


def _attention_layers(metadata: Metadata, num_layers: int) -> list[int]:
    """The layers that have heads for keys."""
    each = metadata.value(".attention.head_count_kv")
    if not isinstance(each, np.ndarray) or len(each) < num_layers or not each.any():
        name = metadata.architecture
        raise InvalidModelFile(f"{name}.attention.head_count_kv must have a number for each layer")
    return [layer for layer in range(num_layers) if each[layer]]


def _lfm2(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "lfm2")
    layers = _attention_layers(metadata, config["num_hidden_layers"])
    return config | {
        "norm_eps": config["rms_norm_eps"],
        "conv_bias": False,
        "conv_L_cache": metadata.integer(".shortconv.l_cache"),
        "full_attn_idxs": layers,
        "block_dim": config["hidden_size"],
        "block_ff_dim": config["intermediate_size"],
        "block_multiple_of": 1,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
    }


FAMILIES: dict[str, Family] = {"lfm2": _lfm2}

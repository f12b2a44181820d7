"""Where each GGUF tensor goes in the mlx-lm network, and how its rows must be put in order."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.gguf import GGUFFile

_TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NOT_WEIGHTS = frozenset({"rope_freqs.weight", "rope_factors_long.weight"})
_OWN_NAMES = {
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "olmo2": {
        "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "phi3": {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
    "starcoder2": {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
}
"""Where an architecture's tensors go elsewhere than `_LAYER` says."""

_NORMS_PLUS_ONE = frozenset({"gemma", "gemma3"})
"""Architectures whose converter added the one that the network adds itself."""

_INTERLEAVED = frozenset({"granite", "llama", "smollm3"})
"""Architectures whose query and key rows the converter put into pairs for rotation."""

_LAYER_NAME = re.compile(r"blk\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Place:
    """The parameter one tensor becomes."""

    path: str
    """In the network, such as "model.layers.0.self_attn.q_proj.weight"."""
    row_order: np.ndarray | None = None
    """int64 [rows]: row i of the parameter is row `row_order[i]` of the tensor. None: as it is."""
    offset: float = 0.0
    """To be added to every value; only norms have one."""


def module_paths(file: GGUFFile, config: Mapping[str, Any]) -> dict[str, Place]:
    """The place of every tensor that is a weight of the network, by its GGUF name.

    Raises:
        InvalidModelFile: the file has a tensor the architecture does not.
    """
    architecture = Metadata(file.metadata).architecture
    places = {}
    for name in file.tensors:
        if name in _NOT_WEIGHTS:
            continue
        path = _path(name, architecture)
        is_shifted = architecture in _NORMS_PLUS_ONE and name.endswith("norm.weight")
        order = _row_order(path, config, architecture)
        places[name] = Place(path, order, offset=-1.0 if is_shifted else 0.0)
    return places


def _path(name: str, architecture: str) -> str:
    stem, _, kind = name.rpartition(".")
    match = _LAYER_NAME.fullmatch(stem)
    names = _LAYER | _OWN_NAMES.get(architecture, {})
    path = names.get(match[2]) if match else _TOP.get(stem)
    if path is None or kind not in ("weight", "bias"):
        raise InvalidModelFile(f"the tensor {name!r} is not known in a {architecture} model")
    return f"model.layers.{int(match[1])}.{path}.{kind}" if match else f"{path}.{kind}"


def _row_order(path: str, config: Mapping[str, Any], architecture: str) -> np.ndarray | None:
    """Undo the converter's pairing of rows: (head, pair, 2) back to (head, 2, pair)."""
    if architecture not in _INTERLEAVED:
        return None
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    module = path.split(".")[-2]
    if module not in heads:
        return None
    num_heads, head_dim = config[heads[module]], config["head_dim"]
    rows = np.arange(num_heads * head_dim).reshape(num_heads, head_dim // 2, 2)
    return rows.swapaxes(1, 2).reshape(-1)

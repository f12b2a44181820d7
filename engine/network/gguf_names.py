"""Where each GGUF tensor goes in the mlx-lm network, and how its rows must be put in order."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.gguf import GGUFFile

_TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_OWN_TOP = {
    "lfm2": _TOP
    | {"output_norm": "model.embedding_norm", "token_embd_norm": "model.embedding_norm"}
}
"""Of architectures that name something there as no other."""

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
_NOT_WEIGHTS = frozenset(
    {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
)
_WHOLE_PARAMETERS = {
    "attn_sinks.weight": "self_attn.sinks",
    "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
}
"""Tensors that are parameters without a layer around them."""


_GATE_UP = "gate_up_proj"


def _experts(router: str, experts: str, shared: str = "") -> dict[str, str]:
    """Where the parts of a mixture of experts go."""
    parts = ("gate", "up", "down")
    names = {f"ffn_{part}_exps": f"{experts}.{part}_proj" for part in parts}
    names["ffn_gate_up_exps"] = f"{experts}.{_GATE_UP}"
    if shared:
        names |= {f"ffn_{part}_shexp": f"{shared}.{part}_proj" for part in parts}
    return names | {"ffn_gate_inp": router}


_GEMMA_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_OWN_NAMES = {
    "gemma2": _GEMMA_NORMS,
    "gemma3": _GEMMA_NORMS,
    "glm4": {
        "post_attention_norm": "post_self_attn_layernorm",
        "post_ffw_norm": "post_mlp_layernorm",
        "ffn_up": "mlp.gate_up_proj",
    },
    "lfm2": {
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
    },
    "olmo2": {
        "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "deepseek2": _experts("mlp.gate", "mlp.switch_mlp", "mlp.shared_experts")
    | {
        "attn_q_a": "self_attn.q_a_proj",
        "attn_q_a_norm": "self_attn.q_a_layernorm",
        "attn_q_b": "self_attn.q_b_proj",
        "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
        "attn_kv_a_norm": "self_attn.kv_a_layernorm",
        "attn_kv_b": "self_attn.kv_b_proj",
        "attn_k_b": "self_attn.embed_q",
        "attn_v_b": "self_attn.unembed_out",
    },
    "dots1": _experts("mlp.gate", "mlp.experts", "mlp.shared_experts"),
    "glm4moe": _experts("mlp.gate", "mlp.switch_mlp", "mlp.shared_experts")
    | {"post_attention_norm": "post_attention_layernorm"},
    "gpt-oss": _experts("mlp.router", "mlp.experts")
    | {"post_attention_norm": "post_attention_layernorm"},
    "granitemoe": _experts("block_sparse_moe.router.layer", "block_sparse_moe.switch_mlp"),
    "llama": _experts("block_sparse_moe.gate", "block_sparse_moe.switch_mlp"),
    "olmoe": _experts("mlp.gate", "mlp.switch_mlp"),
    "qwen2moe": _experts("mlp.gate", "mlp.switch_mlp", "mlp.shared_expert")
    | {"ffn_gate_inp_shexp": "mlp.shared_expert_gate"},
    "qwen3moe": _experts("mlp.gate", "mlp.switch_mlp"),
    "phi3": {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
    "starcoder2": {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
}
"""Where an architecture's tensors go elsewhere than `_LAYER` says."""

_NORMS_PLUS_ONE = frozenset({"gemma", "gemma2", "gemma3"})
"""Architectures whose converter added the one that the network adds itself."""

_INTERLEAVED = frozenset({"granite", "granitemoe", "llama", "smollm3"})
"""Architectures whose query and key rows the converter put into pairs for rotation."""

_LAYER_NAME = re.compile(r"blk\.(\d+)\.(.+)")
_LAYER_PATH = re.compile(r"model\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Place:
    """The parameter one tensor becomes."""

    path: str
    """In the network, such as "model.layers.0.self_attn.q_proj.weight"."""
    row_order: np.ndarray | None = None
    """int64 [rows]: row i of the parameter is row `row_order[i]` of the tensor. None: as it is."""
    offset: float = 0.0
    """To be added to every value; only norms have one."""
    halves: tuple[str, ...] = ()
    """Where the halves of each matrix's rows go, when `path` is no parameter of the network."""


def module_paths(file: GGUFFile, config: Mapping[str, Any]) -> dict[str, Place]:
    """The place of every tensor that is a weight of the network, by its GGUF name.

    Raises:
        InvalidModelFile: the file has a tensor the architecture does not.
    """
    architecture = Metadata(file.metadata).architecture
    return {
        name: find_place(name, architecture, config)
        for name in file.tensors
        if name not in _NOT_WEIGHTS and not _is_beyond(name, config["num_hidden_layers"])
    }


def _is_beyond(name: str, num_layers: int) -> bool:
    """Layers that predict further tokens stand behind those of the network."""
    match = _LAYER_NAME.fullmatch(name)
    return match is not None and int(match[1]) >= num_layers


def find_place(name: str, architecture: str, config: Mapping[str, Any]) -> Place:
    """The place of the tensor `name`.

    Raises:
        InvalidModelFile: the architecture has no such tensor.
    """
    path = _path(name, architecture)
    is_shifted = architecture in _NORMS_PLUS_ONE and name.endswith("norm.weight")
    order = _row_order(path, config, architecture)
    halves: tuple[str, ...] = ()
    if ".ffn_gate_up_exps." in name:
        halves = tuple(path.replace(_GATE_UP, part) for part in ("gate_proj", "up_proj"))
    return Place(path, order, offset=-1.0 if is_shifted else 0.0, halves=halves)


def tensor_name(path: str, architecture: str) -> str:
    """The tensor that becomes the parameter at `path`: the way back of `find_place`.

    Raises:
        Unsupported: GGUF has no name for it.
    """
    match = _LAYER_PATH.fullmatch(path)
    module, _, kind = (match[2] if match else path).rpartition(".")
    names = {place: name for name, place in _OWN_TOP.get(architecture, _TOP).items()}
    if match:
        listed = [*_LAYER.items(), *_OWN_NAMES.get(architecture, {}).items()]
        names = {place: name for name, place in listed}
        whole = {place: name for name, place in _WHOLE_PARAMETERS.items()}
        if match[2] in whole:
            return f"blk.{match[1]}.{whole[match[2]]}"
    if module not in names or kind not in ("weight", "bias"):
        raise Unsupported(f"GGUF has no name for {path!r} in a {architecture} model")
    return f"blk.{match[1]}.{names[module]}.{kind}" if match else f"{names[module]}.{kind}"


def _path(name: str, architecture: str) -> str:
    stem, _, kind = name.rpartition(".")
    match = _LAYER_NAME.fullmatch(stem)
    if match and f"{match[2]}.{kind}" in _WHOLE_PARAMETERS:
        return f"model.layers.{int(match[1])}.{_WHOLE_PARAMETERS[f'{match[2]}.{kind}']}"
    names = _LAYER | _OWN_NAMES.get(architecture, {})
    path = names.get(match[2]) if match else _OWN_TOP.get(architecture, _TOP).get(stem)
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

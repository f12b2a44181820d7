"""What there is to say of one architecture: its configuration, and where its tensors go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile

Config = dict[str, Any]
Family = Callable[[GGUFFile, Metadata], Config]
"""Makes the configuration of one architecture."""

RowOrder = Callable[[str, Mapping[str, Any]], np.ndarray | None]
"""From a parameter's path and the configuration: see `Place.row_order`."""

TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
LAYER = {
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
"""Where tensors go unless an architecture says otherwise."""

GATE_UP = "gate_up_proj"
"""In place of the two that a tensor holds one behind the other."""


@dataclass(frozen=True)
class Architecture:
    """How the files of one architecture become a network of the zoo."""

    make_config: Family
    names: Mapping[str, str] = field(default_factory=dict)
    """Modules within a layer by the stem of the tensor, where `LAYER` says otherwise."""
    top: Mapping[str, str] = field(default_factory=dict)
    """Modules outside of layers, where `TOP` says otherwise."""
    layers: str = "model.layers"
    """The list of layers."""
    whole: Mapping[str, str] = field(default_factory=dict)
    """Tensors, ending included, that are parameters without a layer of their own around them."""
    row_order: RowOrder | None = None
    adds_one_to_norms: bool = False
    """The converter added the one that the network adds itself."""


def expert_names(router: str, experts: str, shared: str = "") -> dict[str, str]:
    """Where the parts of a mixture of experts go."""
    parts = ("gate", "up", "down")
    names = {f"ffn_{part}_exps": f"{experts}.{part}_proj" for part in parts}
    names["ffn_gate_up_exps"] = f"{experts}.{GATE_UP}"
    if shared:
        names |= {f"ffn_{part}_shexp": f"{shared}.{part}_proj" for part in parts}
    return names | {"ffn_gate_inp": router}


def unpaired_rows(path: str, config: Mapping[str, Any]) -> np.ndarray | None:
    """Undo the converter's pairing of rows: (head, pair, 2) back to (head, 2, pair)."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    module = path.split(".")[-2]
    if module not in heads:
        return None
    num_heads, head_dim = config[heads[module]], config["head_dim"]
    if head_dim % 2:
        raise InvalidModelFile(f"heads of {head_dim} cannot be turned by pairs")
    rows = np.arange(num_heads * head_dim).reshape(num_heads, head_dim // 2, 2)
    return rows.swapaxes(1, 2).reshape(-1)

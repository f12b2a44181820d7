"""What a configuration says under the names of its family, under the names that most use."""

from collections.abc import Mapping
from typing import Any

_SYNONYMS = {
    "hidden_size": ("hidden_dim", "n_embd", "d_model", "model_dim"),
    "num_hidden_layers": ("num_layers", "n_layer", "n_layers", "num_transformer_layers"),
    "num_attention_heads": ("num_heads", "n_head", "n_heads", "num_query_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_kv_heads"),
    "vocab_size": ("num_vocab",),
    "max_position_embeddings": (
        "model_max_length",
        "n_positions",
        "n_ctx",
        "max_seq_len",
        "max_sequence_length",
        "seq_length",
        "block_size",
        "max_context_length",
    ),
}


def with_common_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its sizes also under the common names, wherever they stand.

    A model of text and images keeps those of its text part in an object of its own.
    """
    found = dict(config)
    text = config.get("text_config")
    sources = (config, text) if isinstance(text, Mapping) else (config,)
    for name, synonyms in _SYNONYMS.items():
        for source in sources:
            value = next((source[key] for key in (name, *synonyms) if source.get(key)), None)
            if isinstance(value, int):
                found.setdefault(name, value)
    return found


def with_old_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with what transformers 5 writes, `rope_parameters` first of all, under the
    names that were before.

    mlx-lm's classes know those, and replace what they miss by a default without a word.
    """
    found = dict(config)
    if isinstance(config.get("text_config"), Mapping):
        found["text_config"] = with_old_names(config["text_config"])
    for old, new in _RENAMED.items():
        if config.get(new) is not None:
            found.setdefault(old, config[new])
    rope = config.get("rope_parameters")
    if not isinstance(rope, Mapping):
        return found
    local = rope.get("sliding_attention")
    if isinstance(local, Mapping) and "rope_theta" in local:
        found.setdefault("rope_local_base_freq", local["rope_theta"])
    rope = rope.get("full_attention", rope)
    for old, new in _ROPE_NAMES.items():
        if rope.get(new) is not None and found.get(old) is None:
            found[old] = rope[new]
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "proportional") and not found.get("rope_scaling"):
        found["rope_scaling"] = {**rope, "type": kind, "rope_type": kind}
    found.setdefault("rope_scaling", None)  # which some families want to be told
    return found


_RENAMED = {"num_experts": "num_local_experts", "block_dim": "hidden_size"}
"""Old names of other things, and what has them."""

_ROPE_NAMES = {
    "rope_theta": "rope_theta",
    "rotary_emb_base": "rope_theta",
    "partial_rotary_factor": "partial_rotary_factor",
    "rotary_pct": "partial_rotary_factor",
    "original_max_position_embeddings": "original_max_position_embeddings",
}
"""Names that families of mlx-lm read, and those in `rope_parameters`."""

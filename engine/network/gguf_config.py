"""A GGUF file's metadata as the configuration that mlx-lm's network classes are built from.

`config_from_gguf` dispatches on `general.architecture`; a family adds to what nearly all share.
Names that an mlx-lm class would silently replace by its own default are always written.
"""

from collections.abc import Callable
from typing import Any

from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.gguf import GGUFFile

Config = dict[str, Any]


def config_from_gguf(file: GGUFFile) -> Config:
    """An mlx-lm configuration, "model_type" included.

    Raises:
        Unsupported: the architecture is not known; the message names it and the known ones.
        InvalidModelFile: a value the architecture needs is missing.
    """
    metadata = Metadata(file.metadata)
    family = _FAMILIES.get(metadata.architecture)
    if family is None:
        known = ", ".join(sorted(_FAMILIES))
        raise Unsupported(
            f"the architecture {metadata.architecture!r} is not known; known are {known}"
        )
    return family(file, metadata)


def _common(file: GGUFFile, metadata: Metadata, model_type: str) -> Config:
    num_heads = metadata.integer(".attention.head_count")
    width = metadata.integer(".embedding_length")
    if "token_embd.weight" not in file.tensors:
        raise InvalidModelFile("the GGUF file has no tensor 'token_embd.weight'")
    head_dim = metadata.integer(".attention.key_length", width // max(num_heads, 1))
    context_length = metadata.integer(".context_length")
    config = {
        "model_type": model_type,
        "hidden_size": width,
        "num_hidden_layers": metadata.integer(".block_count"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": metadata.integer(".attention.head_count_kv", num_heads),
        "head_dim": head_dim,
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "max_position_embeddings": context_length,
        "rope_theta": metadata.number(".rope.freq_base", 10_000.0),
        "rope_scaling": _rope_scaling(file, metadata, context_length),
        "rope_traditional": False,
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    if ".attention.layer_norm_rms_epsilon" in metadata:
        config["rms_norm_eps"] = metadata.number(".attention.layer_norm_rms_epsilon")
    if ".feed_forward_length" in metadata:
        config["intermediate_size"] = metadata.integer(".feed_forward_length")
    return config


def _rope_scaling(file: GGUFFile, metadata: Metadata, context_length: int) -> Config | None:
    """How positions are stretched; `rope_freqs.weight` divides each frequency by its own factor."""
    freqs = file.tensors.get("rope_freqs.weight")
    if freqs is not None:
        factors = file.tensor_bytes("rope_freqs.weight").reshape(-1).view("<f4")
        return {
            "rope_type": "longrope",
            "original_max_position_embeddings": context_length,
            "short_factor": factors.tolist(),
            "long_factor": factors.tolist(),
        }
    kind = metadata.string(".rope.scaling.type", "none")
    factor = metadata.number(".rope.scaling.factor", metadata.number(".rope.scale_linear", 1.0))
    if kind == "yarn":
        return _yarn(metadata, factor, context_length)
    if factor not in (0.0, 1.0) and kind in ("linear", "none"):
        return {"rope_type": "linear", "factor": factor}
    if kind in ("none", "linear"):
        return None
    raise Unsupported(f"the rope scaling {kind!r} is not known; known are linear and yarn")


def _yarn(metadata: Metadata, factor: float, context_length: int) -> Config:
    original = metadata.integer(".rope.scaling.original_context_length", context_length)
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": metadata.number(".rope.scaling.yarn_beta_fast", 32.0),
        "beta_slow": metadata.number(".rope.scaling.yarn_beta_slow", 1.0),
    }


def _llama(file: GGUFFile, metadata: Metadata) -> Config:
    if metadata.integer(".expert_count", 0):
        raise Unsupported("a llama file with experts (Mixtral) is not supported yet")
    config = _common(file, metadata, "llama")
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["mlp_bias"] = "blk.0.ffn_gate.bias" in file.tensors
    return config


def _plain(model_type: str) -> Callable[[GGUFFile, Metadata], Config]:
    """A family that needs nothing beside what all share."""

    def config(file: GGUFFile, metadata: Metadata) -> Config:
        return _common(file, metadata, model_type)

    return config


def _gemma3(file: GGUFFile, metadata: Metadata) -> Config:
    config = _common(file, metadata, "gemma3_text")
    is_27b = config["num_hidden_layers"] == 62
    per_head = config["hidden_size"] / config["num_attention_heads"]
    config["query_pre_attn_scalar"] = per_head if is_27b else config["head_dim"]
    config["rope_theta"] = metadata.number(".rope.freq_base", 1_000_000.0)
    config["rope_local_base_freq"] = metadata.number(".rope.freq_base_swa", 10_000.0)
    config["sliding_window"] = metadata.integer(".attention.sliding_window")
    config["sliding_window_pattern"] = 6
    return config


def _phi3(file: GGUFFile, metadata: Metadata) -> Config:
    if "rope_factors_long.weight" in file.tensors:
        raise Unsupported("Phi-3 with long-context rope factors is not supported yet")
    config = _common(file, metadata, "phi3")
    rotated = metadata.integer(".rope.dimension_count", config["head_dim"])
    config["partial_rotary_factor"] = rotated / config["head_dim"]
    window = metadata.integer(".attention.sliding_window", 0)
    if 0 < window < config["max_position_embeddings"]:
        config["max_position_embeddings"] = window
    return config


def _granite(file: GGUFFile, metadata: Metadata) -> Config:
    config = _llama(file, metadata) | {"model_type": "granite"}
    per_head = config["hidden_size"] // config["num_attention_heads"]
    config["attention_multiplier"] = metadata.number(".attention.scale", per_head**-0.5)
    config["embedding_multiplier"] = metadata.number(".embedding_scale", 1.0)
    config["residual_multiplier"] = metadata.number(".residual_scale", 1.0)
    config["logits_scaling"] = metadata.number(".logit_scale", 1.0)
    return config


def _smollm3(file: GGUFFile, metadata: Metadata) -> Config:
    return _llama(file, metadata) | {"model_type": "smollm3", "no_rope_layer_interval": 4}


def _starcoder2(file: GGUFFile, metadata: Metadata) -> Config:
    config = _common(file, metadata, "starcoder2")
    config["norm_epsilon"] = metadata.number(".attention.layer_norm_epsilon")
    return config


def _cohere2(file: GGUFFile, metadata: Metadata) -> Config:
    config = _common(file, metadata, "cohere2")
    config["layer_norm_eps"] = metadata.number(".attention.layer_norm_epsilon")
    config["logit_scale"] = metadata.number(".logit_scale")
    config["sliding_window"] = metadata.integer(".attention.sliding_window")
    config["sliding_window_pattern"] = 4
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    return config


_FAMILIES: dict[str, Callable[[GGUFFile, Metadata], Config]] = {
    "cohere2": _cohere2,
    "gemma": _plain("gemma"),
    "gemma3": _gemma3,
    "granite": _granite,
    "llama": _llama,
    "olmo2": _plain("olmo2"),
    "phi3": _phi3,
    "qwen2": _plain("qwen2"),
    "qwen3": _plain("qwen3"),
    "smollm3": _smollm3,
    "starcoder2": _starcoder2,
}

"""A Hugging Face configuration as a GGUF file's metadata: the way back of `engine.network`'s.

Only what llama.cpp's converter writes too, so that every reader understands it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models.errors import InvalidModelFile, Unsupported
from models.gguf import Value

Config = Mapping[str, Any]
Values = dict[str, Value]

ARCHITECTURES = {
    "cohere": "command-r",
    "cohere2": "cohere2",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "glm4": "glm4",
    "granite": "granite",
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "olmo2": "olmo2",
    "olmoe": "olmoe",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen2_moe": "qwen2moe",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "smollm3": "smollm3",
    "starcoder2": "starcoder2",
}
"""GGUF's architecture for each `model_type`."""


def find_architecture(config: Config) -> str:
    """GGUF's name of the architecture.

    Raises:
        Unsupported: there is none, or none that can be converted.
    """
    model_type = str(config.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise Unsupported(
            f"a {model_type!r} model cannot be converted to GGUF",
            hint=f"Known: {', '.join(ARCHITECTURES)}.",
        )
    return ARCHITECTURES[model_type]


def make_metadata(config: Config, name: str) -> Values:
    """`general.*` and the architecture's own values.

    Raises:
        Unsupported: an architecture, or a way to stretch positions, that is not known.
        InvalidModelFile: the configuration lacks something.
    """
    architecture = find_architecture(config)
    try:
        values = {**_common(config), **_OWN.get(architecture, _nothing)(config)}
    except KeyError as error:
        raise InvalidModelFile(f"config.json: no {error.args[0]!r} in it") from None
    own = {f"{architecture}.{key}": value for key, value in values.items()}
    return {"general.architecture": architecture, "general.name": name, **own}


def rope_parameters(config: Config) -> dict[str, Any]:
    """How positions turn, from the newer `rope_parameters` or the older two keys."""
    stated: Mapping[str, Any] = config.get("rope_parameters") or {}
    stated = stated.get("full_attention", stated)
    older: Mapping[str, Any] = config.get("rope_scaling") or {}
    found = {"rope_theta": config.get("rope_theta", 10_000.0), **older, **stated}
    found["rope_type"] = found.get("rope_type") or found.get("type") or "default"
    return found


def rope_tensors(config: Config) -> dict[str, np.ndarray]:
    """What each frequency is divided by, float32 [head_dim / 2], by the name of the tensor."""
    rope = rope_parameters(config)
    if rope["rope_type"] == "llama3":
        return {"rope_freqs.weight": _llama3_factors(rope, head_dim(config))}
    if rope["rope_type"] != "longrope":
        return {}
    short, long = (np.array(rope[key], np.float32) for key in ("short_factor", "long_factor"))
    if _original_context(config) == config["max_position_embeddings"]:
        return {"rope_freqs.weight": long}
    return {"rope_factors_long.weight": long, "rope_factors_short.weight": short}


def _original_context(config: Config) -> int:
    """Tokens that a model saw before its positions were stretched."""
    stated = rope_parameters(config).get("original_max_position_embeddings")
    return int(stated or config["original_max_position_embeddings"])


def head_dim(config: Config) -> int:
    """Width of one head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _llama3_factors(rope: Mapping[str, Any], width: int) -> np.ndarray:
    """Low frequencies are stretched by `factor`, high ones stay, those between go over smoothly."""
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    original = float(rope["original_max_position_embeddings"])
    factors = []
    for exponent in np.arange(0, width, 2) / width:
        wavelength = 2 * math.pi * float(rope["rope_theta"]) ** exponent
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(float(rope["factor"]))
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / float(rope["factor"]) + smooth))
    return np.array(factors, np.float32)


def _common(config: Config) -> Values:
    width = head_dim(config)
    values: Values = {
        "context_length": int(config["max_position_embeddings"]),
        "embedding_length": int(config["hidden_size"]),
        "block_count": int(config["num_hidden_layers"]),
        "feed_forward_length": int(config["intermediate_size"]),
        "attention.head_count": int(config["num_attention_heads"]),
        "attention.head_count_kv": int(
            config.get("num_key_value_heads") or config["num_attention_heads"]
        ),
        "attention.key_length": width,
        "attention.value_length": width,
        "rope.dimension_count": int(width * float(config.get("partial_rotary_factor") or 1.0)),
        "vocab_size": int(config["vocab_size"]),
    }
    if "rms_norm_eps" in config:
        values["attention.layer_norm_rms_epsilon"] = float(config["rms_norm_eps"])
    return values | _rope(config) | _experts(config)


def _rope(config: Config) -> Values:
    rope = rope_parameters(config)
    kind = rope["rope_type"]
    values: Values = {"rope.freq_base": float(rope["rope_theta"])}
    if kind == "linear":
        values |= {"rope.scaling.type": kind, "rope.scaling.factor": float(rope["factor"])}
    elif kind == "yarn":
        values |= {
            "rope.scaling.type": kind,
            "rope.scaling.factor": float(rope["factor"]),
            "rope.scaling.original_context_length": int(rope["original_max_position_embeddings"]),
        }
        for key in ("beta_fast", "beta_slow"):
            if rope.get(key) is not None:
                values[f"rope.scaling.yarn_{key}"] = float(rope[key])
    elif kind == "longrope":
        values |= _long_rope(config)
    elif kind not in ("default", "llama3"):
        raise Unsupported(f"rope scaling {kind!r} cannot be converted to GGUF")
    return values


def _long_rope(config: Config) -> Values:
    original, context = _original_context(config), int(config["max_position_embeddings"])
    if original == context:
        return {}
    attention = math.sqrt(1 + math.log(context / original) / math.log(original))
    return {
        "rope.scaling.original_context_length": original,
        "rope.scaling.attn_factor": attention,
    }


def _experts(config: Config) -> Values:
    number = config.get("num_local_experts") or config.get("num_experts")
    if not number:
        return {}
    values: Values = {
        "expert_count": int(number),
        "expert_used_count": int(config["num_experts_per_tok"]),
    }
    if "moe_intermediate_size" in config:
        values["expert_feed_forward_length"] = int(config["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        shared = int(config["shared_expert_intermediate_size"])
        values["expert_shared_feed_forward_length"] = shared
    return values


def _nothing(_: Config) -> Values:
    return {}


def _gemma2(config: Config) -> Values:
    return {
        "attn_logit_softcapping": float(config["attn_logit_softcapping"]),
        "final_logit_softcapping": float(config["final_logit_softcapping"]),
        "attention.sliding_window": int(config["sliding_window"]),
    }


def _gemma3(config: Config) -> Values:
    rope = config.get("rope_parameters") or {}
    local = rope.get("sliding_attention", {}).get("rope_theta")
    base = rope_parameters({"rope_theta": 1_000_000.0, **config})["rope_theta"]
    return {
        "rope.freq_base": float(base),
        "rope.freq_base_swa": float(local or config.get("rope_local_base_freq", 10_000.0)),
        "attention.sliding_window": int(config["sliding_window"]),
    }


def _phi3(config: Config) -> Values:
    return {"attention.sliding_window": int(config.get("sliding_window") or 0)}


def _granite(config: Config) -> Values:
    return {
        "attention.scale": float(config["attention_multiplier"]),
        "embedding_scale": float(config["embedding_multiplier"]),
        "residual_scale": float(config["residual_multiplier"]),
        "logit_scale": float(config["logits_scaling"]),
    }


def _starcoder2(config: Config) -> Values:
    return {"attention.layer_norm_epsilon": float(config["norm_epsilon"])}


def _command_r(config: Config) -> Values:
    return {
        "attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "logit_scale": float(config["logit_scale"]),
        "rope.scaling.type": "none",
    }


def _cohere2(config: Config) -> Values:
    return _command_r(config) | {"attention.sliding_window": int(config["sliding_window"])}


_OWN: dict[str, Callable[[Config], Values]] = {
    "cohere2": _cohere2,
    "command-r": _command_r,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "granite": _granite,
    "phi3": _phi3,
    "starcoder2": _starcoder2,
}

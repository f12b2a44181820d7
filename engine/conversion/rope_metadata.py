"""How positions turn and are stretched: from a Hugging Face configuration to GGUF's keys."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.errors import Unsupported
from models.formats.gguf import Value

Config = Mapping[str, Any]
Values = dict[str, Value]


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


def partial_rotary_factor(config: Config) -> float | None:
    """The share of each head that turns, where it is stated."""
    stated = config.get("partial_rotary_factor")
    stated = stated or rope_parameters(config).get("partial_rotary_factor")
    return float(stated) if stated else None


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


def rope_values(config: Config) -> Values:
    """The `rope.*` keys.

    Raises:
        Unsupported: a way to stretch positions that GGUF has no name for.
    """
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

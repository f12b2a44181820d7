"""What nearly all architectures share, from GGUF metadata to an mlx-lm configuration.

Names that an mlx-lm class would silently replace by its own default are always written.
"""

import math

import numpy as np

from engine.network.architectures.architecture import Config
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import GGUFFile

MAX_SIZE = 1 << 20
"""Of anything that a network has so many of side by side: far above every model there is."""


def common_config(file: GGUFFile, metadata: Metadata, model_type: str) -> Config:
    num_heads = metadata.size(".attention.head_count")
    width = read_width(file, metadata)
    head_dim = metadata.size(".attention.key_length", width // num_heads)
    num_kv_heads = _num_kv_heads(metadata, num_heads)
    if max(num_heads, num_kv_heads) * head_dim > MAX_SIZE:
        raise InvalidModelFile(f"{num_heads} and {num_kv_heads} heads of {head_dim}: too many")
    context_length = metadata.size(".context_length")
    config = {
        "model_type": model_type,
        "hidden_size": width,
        "num_hidden_layers": read_num_layers(file, metadata),
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "head_dim": head_dim,
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "max_position_embeddings": context_length,
        "rope_theta": read_base(metadata, ".rope.freq_base", 10_000.0),
        "rope_scaling": _rope_scaling(file, metadata, context_length),
        "rope_traditional": False,
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    if ".attention.layer_norm_rms_epsilon" in metadata:
        config["rms_norm_eps"] = metadata.number(".attention.layer_norm_rms_epsilon")
    if ".feed_forward_length" in metadata:
        config["intermediate_size"] = metadata.integer(".feed_forward_length")
    return config


def num_used_experts(metadata: Metadata) -> int:
    """How many experts each token goes to; 0 where there are none."""
    count, used = metadata.integer(".expert_count", 0), metadata.integer(".expert_used_count", 0)
    if count and not 1 <= used <= count:
        raise InvalidModelFile(f"each token is to go to {used} of {count} experts")
    return used if count else 0


def layer_kinds(metadata: Metadata, num_layers: int) -> list[str]:
    """Which layers see a window only, by the names of configurations."""
    has_window = metadata.flags(".attention.sliding_window_pattern")
    if len(has_window) != num_layers:
        name = metadata.name(".attention.sliding_window_pattern")
        raise InvalidModelFile(f"{name!r} has {len(has_window)} values for {num_layers} layers")
    return ["sliding_attention" if flag else "full_attention" for flag in has_window]


def read_width(file: GGUFFile, metadata: Metadata) -> int:
    """The size of hidden states, which the table of embeddings has as well."""
    width = metadata.size(".embedding_length")
    table = file.tensors.get("token_embd.weight")
    if table is None:
        raise InvalidModelFile("the GGUF file has no tensor 'token_embd.weight'")
    if table.shape[-1] != width:
        raise InvalidModelFile(f"'token_embd.weight' has {table.shape[-1]} columns, not {width}")
    return width


def read_num_layers(file: GGUFFile, metadata: Metadata) -> int:
    """How many layers there are, without those that predict further tokens.

    Each must have a tensor.
    """
    announced = metadata.size(".block_count") - metadata.integer(".nextn_predict_layers", 0)
    present = {name.split(".", 2)[1] for name in file.tensors if name.startswith("blk.")}
    if not 1 <= announced <= len(present):
        raise InvalidModelFile(f"announces {announced} layers, {len(present)} have tensors")
    return announced


def read_base(metadata: Metadata, key: str, default: float) -> float:
    """What frequencies of rotation are powers of."""
    base = metadata.number(key, default)
    if not 0 < base < math.inf:
        raise InvalidModelFile(
            f"the GGUF value {metadata.name(key)!r} is {base}; it must be positive"
        )
    return base


def _num_kv_heads(metadata: Metadata, num_heads: int) -> int:
    """The same in every layer that attends; others of a hybrid have none."""
    each = metadata.value(".attention.head_count_kv")
    if isinstance(each, np.ndarray) and len(different := set(each.tolist()) - {0}) == 1:
        metadata = metadata.replaced({".attention.head_count_kv": int(different.pop())})
    return metadata.size(".attention.head_count_kv", num_heads)


def _rope_scaling(file: GGUFFile, metadata: Metadata, context_length: int) -> Config | None:
    """How positions are stretched; `rope_freqs.weight` divides each frequency by its own factor."""
    freqs = file.tensors.get("rope_freqs.weight")
    if freqs is not None:
        factors = _factors(file, "rope_freqs.weight")
        return _long_rope(context_length, factors, factors)
    if "rope_factors_long.weight" in file.tensors:
        original = metadata.integer(".rope.scaling.original_context_length", context_length)
        long_factors = _factors(file, "rope_factors_long.weight")
        return _long_rope(original, _factors(file, "rope_factors_short.weight"), long_factors)
    kind = metadata.string(".rope.scaling.type", "none")
    factor = metadata.number(".rope.scaling.factor", metadata.number(".rope.scale_linear", 1.0))
    if kind == "yarn":
        return _yarn(metadata, factor, context_length)
    if factor not in (0.0, 1.0) and kind in ("linear", "none"):
        return {"rope_type": "linear", "factor": factor}
    if kind in ("none", "linear"):
        return None
    raise Unsupported(f"the rope scaling {kind!r} is not known; known are linear and yarn")


def _factors(file: GGUFFile, name: str) -> list[float]:
    """What each frequency is divided by."""
    tensor = file.tensors.get(name)
    if tensor is None or tensor.quantization != "F32":
        raise InvalidModelFile(f"the GGUF file must have the F32 tensor {name!r}")
    factors: list[float] = file.tensor_bytes(name).reshape(-1).view("<f4").tolist()
    return factors


def _long_rope(original: int, short: list[float], long: list[float]) -> Config:
    return {
        "rope_type": "longrope",
        "type": "longrope",
        "original_max_position_embeddings": original,
        "short_factor": short,
        "long_factor": long,
    }


def _yarn(metadata: Metadata, factor: float, context_length: int) -> Config:
    original = metadata.integer(".rope.scaling.original_context_length", context_length)
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": metadata.number(".rope.scaling.yarn_beta_fast", 32.0),
        "beta_slow": metadata.number(".rope.scaling.yarn_beta_slow", 1.0),
    }

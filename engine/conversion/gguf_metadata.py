"""A Hugging Face configuration as a GGUF file's metadata: the way back of `engine.network`'s.

Only what llama.cpp's converter writes too, so that every reader understands it.
"""

from engine.conversion.family_metadata import OWN
from engine.conversion.rope_metadata import (
    Config,
    Values,
    head_dim,
    partial_rotary_factor,
    rope_values,
)
from models.errors import InvalidModelFile, Unsupported

ARCHITECTURES = {
    "cohere": "command-r",
    "cohere2": "cohere2",
    "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2",
    "dots1": "dots1",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "glm4": "glm4",
    "glm4_moe": "glm4moe",
    "gpt_oss": "gpt-oss",
    "granite": "granite",
    "granitemoe": "granitemoe",
    "lfm2": "lfm2",
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
        own = OWN[architecture](config) if architecture in OWN else {}
        values = {**_common(config), **own}
    except KeyError as error:
        raise InvalidModelFile(f"config.json: no {error.args[0]!r} in it") from None
    named = {f"{architecture}.{key}": value for key, value in values.items()}
    return {"general.architecture": architecture, "general.name": name, **named}


def _common(config: Config) -> Values:
    width = head_dim(config)
    turned = partial_rotary_factor(config) or 1.0
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
        "rope.dimension_count": int(width * turned),
        "vocab_size": int(config["vocab_size"]),
    }
    if "rms_norm_eps" in config:
        values["attention.layer_norm_rms_epsilon"] = float(config["rms_norm_eps"])
    return values | rope_values(config) | _experts(config)


def _experts(config: Config) -> Values:
    number = _first(config, "num_local_experts", "num_experts", "n_routed_experts")
    if not number:
        return {}
    values: Values = {
        "expert_count": number,
        "expert_used_count": int(config["num_experts_per_tok"]),
    }
    if "moe_intermediate_size" in config:
        values["expert_feed_forward_length"] = int(config["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        shared = int(config["shared_expert_intermediate_size"])
        values["expert_shared_feed_forward_length"] = shared
    return values


def _first(config: Config, *names: str) -> int:
    return int(next((config[name] for name in names if config.get(name)), 0))

"""The config.json of an MLX directory in GGUF's keys, so that one reader serves both."""

from collections.abc import Mapping
from typing import Any


def mlx_metadata(architecture: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json in GGUF's keys, for clients that read `<architecture>.context_length`."""
    names = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.value_length": "head_dim",
        "vocab_size": "vocab_size",
    }
    found = {key: config[name] for key, name in names.items() if name in config}
    found |= _expert_metadata(config) | _latent_metadata(architecture, config)
    keyed = {f"{architecture}.{key}": value for key, value in found.items()}
    return {"general.architecture": architecture, **keyed}


def _expert_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    counts = ("num_local_experts", "num_experts", "n_routed_experts")
    count = next((config[name] for name in counts if config.get(name)), 0)
    used = config.get("num_experts_per_tok", 0)
    return {"expert_count": count, "expert_used_count": used} if count else {}


def _latent_metadata(architecture: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What attention over latents keeps; DeepSeek V2 keeps expanded heads here."""
    rank, turned = config.get("kv_lora_rank"), config.get("qk_rope_head_dim")
    if not isinstance(rank, int) or not isinstance(turned, int):
        return {}
    if architecture != "deepseek_v2":
        sizes = {"key_length": rank + turned, "value_length": rank, "head_count_kv": 1}
    else:
        sizes = {
            "key_length": config.get("qk_nope_head_dim", 0) + turned,
            "value_length": config.get("v_head_dim", 0),
            "head_count_kv": config.get("num_attention_heads", 0),
        }
    return {f"attention.{key}": value for key, value in sizes.items()}

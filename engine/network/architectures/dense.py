"""Architectures whose feed-forward layers are all dense."""

from engine.network.architectures.architecture import (
    Architecture,
    Config,
    Family,
    expert_names,
    unpaired_rows,
)
from engine.network.architectures.common import common_config, layer_kinds
from engine.network.architectures.experts import granite_scales, mixtral_config
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile


def _llama(file: GGUFFile, metadata: Metadata) -> Config:
    if metadata.integer(".expert_count", 0):
        return mixtral_config(file, metadata)
    config = common_config(file, metadata, "llama")
    config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["mlp_bias"] = "blk.0.ffn_gate.bias" in file.tensors
    return config


def _plain(model_type: str) -> Family:
    """A family that needs nothing beside what all share."""

    def config(file: GGUFFile, metadata: Metadata) -> Config:
        return common_config(file, metadata, model_type)

    return config


def _phi3(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "phi3")
    rotated = metadata.integer(".rope.dimension_count", config["head_dim"])
    config["partial_rotary_factor"] = rotated / config["head_dim"]
    config["sliding_window"] = metadata.integer(".attention.sliding_window", 0) or None
    scaling = config["rope_scaling"]
    if scaling and scaling["rope_type"] == "longrope":
        original = scaling["original_max_position_embeddings"]
        config["original_max_position_embeddings"] = original
    return config


def _glm4(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "glm4")
    turned = metadata.integer(".rope.dimension_count", config["head_dim"])
    return config | {
        "rope_traditional": True,
        "partial_rotary_factor": turned / config["head_dim"],
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
    }


def _granite(file: GGUFFile, metadata: Metadata) -> Config:
    config = _llama(file, metadata) | {"model_type": "granite"}
    return config | granite_scales(config, metadata)


def _smollm3(file: GGUFFile, metadata: Metadata) -> Config:
    return _llama(file, metadata) | {"model_type": "smollm3", "no_rope_layer_interval": 4}


def _ernie(file: GGUFFile, metadata: Metadata) -> Config:
    return common_config(file, metadata, "ernie4_5") | {"use_bias": False}


def _olmo(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "olmo")
    config["layer_norm_eps"] = metadata.number(".attention.layer_norm_epsilon", 1e-5)
    return config | {"clip_qkv": metadata.number(".attention.clamp_kqv", 0.0) or None}


def _seed_oss(file: GGUFFile, metadata: Metadata) -> Config:
    config = _llama(file, metadata) | {"model_type": "seed_oss"}
    return config | {"attention_out_bias": "blk.0.attn_output.bias" in file.tensors}


def _arcee(file: GGUFFile, metadata: Metadata) -> Config:
    return _llama(file, metadata) | {"model_type": "arcee"}


def _apertus(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "apertus")
    values = {}
    for name in ("alpha_p", "alpha_n", "beta", "eps"):
        each = metadata.array(f"xielu.{name}")
        if each is None or len(each) != config["num_hidden_layers"]:
            raise InvalidModelFile(f"xielu.{name} must have a number for each layer")
        values[name] = [float(value) for value in each]
    flags = dict.fromkeys(("mlp_bias", "attention_bias", "post_norm"), False)
    return config | flags | {"qk_norm": True, "xielu": values}


def _minicpm(file: GGUFFile, metadata: Metadata) -> Config:
    """Granite's multipliers under other names; its own class of mlx-lm divides twice."""
    return _granite(file, metadata)


def _mistral3(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "ministral3")
    rope: Config = {"rope_theta": config["rope_theta"]} | (config["rope_scaling"] or {})
    beta = metadata.number(".attention.temperature_scale", 0.0)
    length = config["max_position_embeddings"]
    rope.setdefault("original_max_position_embeddings", length)
    mscale = metadata.number(".rope.scaling.yarn_log_multiplier", 0.0)
    if mscale:
        rope |= {"mscale": mscale, "mscale_all_dim": mscale}
    return config | {"rope_parameters": rope | {"llama_4_scaling_beta": beta}}


def _exaone4(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "exaone4")
    window = metadata.integer(".attention.sliding_window", 0) or None
    return config | {"sliding_window": window, "sliding_window_pattern": "LLLG" if window else None}


def _hunyuan(file: GGUFFile, metadata: Metadata) -> Config:
    config = common_config(file, metadata, "hunyuan_v1_dense")
    return config | {"use_qk_norm": "blk.0.attn_q_norm.weight" in file.tensors}


def _olmo2(file: GGUFFile, metadata: Metadata) -> Config:
    """Olmo 2, or 3 where some layers have a window."""
    window = metadata.integer(".attention.sliding_window", 0)
    config = common_config(file, metadata, "olmo3" if window else "olmo2")
    if window:
        kinds = layer_kinds(metadata, config["num_hidden_layers"])
        config |= {"sliding_window": window, "layer_types": kinds}
    return config


_LLAMA_NAMES = expert_names("block_sparse_moe.gate", "block_sparse_moe.switch_mlp")
_POST_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}

ARCHITECTURES: dict[str, Architecture] = {
    "apertus": Architecture(
        _apertus,
        {"attn_norm": "attention_layernorm", "ffn_norm": "feedforward_layernorm"},
    ),
    "arcee": Architecture(_arcee, row_order=unpaired_rows),
    "baichuan": Architecture(_llama, row_order=unpaired_rows),
    "ernie4_5": Architecture(_ernie),
    "exaone4": Architecture(_exaone4, _POST_NORMS),
    "glm4": Architecture(
        _glm4,
        {
            "post_attention_norm": "post_self_attn_layernorm",
            "post_ffw_norm": "post_mlp_layernorm",
            "ffn_up": "mlp.gate_up_proj",
        },
    ),
    "granite": Architecture(_granite, row_order=unpaired_rows),
    "hunyuan-dense": Architecture(
        _hunyuan,
        {
            "attn_q_norm": "self_attn.query_layernorm",
            "attn_k_norm": "self_attn.key_layernorm",
        },
    ),
    "internlm2": Architecture(_llama, row_order=unpaired_rows),
    "llama": Architecture(_llama, _LLAMA_NAMES, row_order=unpaired_rows),
    "minicpm": Architecture(_minicpm, row_order=unpaired_rows),
    "mistral3": Architecture(_mistral3, row_order=unpaired_rows),
    "olmo": Architecture(_olmo, row_order=unpaired_rows),
    "olmo2": Architecture(_olmo2, _POST_NORMS),
    "phi3": Architecture(_phi3, {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}),
    "qwen2": Architecture(_plain("qwen2")),
    "qwen2vl": Architecture(_plain("qwen2")),
    "qwen3": Architecture(_plain("qwen3")),
    "qwen3vl": Architecture(_plain("qwen3")),
    "seed_oss": Architecture(_seed_oss, {"post_attention_norm": "post_attention_layernorm"}),
    "smollm3": Architecture(_smollm3, row_order=unpaired_rows),
    "xverse": Architecture(_llama, row_order=unpaired_rows),
}

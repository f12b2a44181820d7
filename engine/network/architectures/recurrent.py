"""Mamba (Gu and Dao 2023, 2024): architectures without attention."""

import math

from engine.network.architectures.architecture import Architecture, Config
from engine.network.architectures.common import read_num_layers, read_width
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile

SSM_NAMES = {
    "ssm_in": "in_proj",
    "ssm_conv1d": "conv1d",
    "ssm_x": "x_proj",
    "ssm_dt": "dt_proj",
    "ssm_dt_norm": "dt_layernorm",
    "ssm_b_norm": "b_layernorm",
    "ssm_c_norm": "c_layernorm",
    "ssm_norm": "norm",
    "ssm_out": "out_proj",
}
"""Modules within a mixer."""

SSM_PARAMETERS = {"ssm_a": "A_log", "ssm_d": "D"}
"""Parameters of a mixer that have no module around them."""


def epsilon(metadata: Metadata) -> float:
    """Of norms by mean square, under either name."""
    return metadata.number(
        ".attention.layer_norm_rms_epsilon",
        metadata.number(".attention.layer_norm_epsilon", 1e-5),
    )


def state_head_dim(inner: int, num_heads: int) -> int:
    """The size of each head of a state."""
    if inner % num_heads:
        raise InvalidModelFile(f"'ssm.inner_size' is {inner}; {num_heads} heads do not fit")
    return inner // num_heads


def _shared(file: GGUFFile, metadata: Metadata, model_type: str) -> Config:
    width = read_width(file, metadata)
    return {
        "model_type": model_type,
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": width,
        "intermediate_size": metadata.size(".ssm.inner_size"),
        "num_hidden_layers": read_num_layers(file, metadata),
        "max_position_embeddings": metadata.integer(".context_length"),
        "state_size": metadata.size(".ssm.state_size"),
        "conv_kernel": metadata.size(".ssm.conv_kernel"),
        "time_step_rank": metadata.size(".ssm.time_step_rank"),
        "use_bias": "blk.0.ssm_in.bias" in file.tensors,
        "use_conv_bias": "blk.0.ssm_conv1d.bias" in file.tensors,
        "layer_norm_epsilon": epsilon(metadata),
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }


def _mamba(file: GGUFFile, metadata: Metadata) -> Config:
    config = _shared(file, metadata, "mamba")
    return config | {
        "use_bcdt_rms": metadata.flag(".ssm.dt_b_c_rms", False),
        "mixer_rms_eps": config["layer_norm_epsilon"],
    }


def _mamba2(file: GGUFFile, metadata: Metadata) -> Config:
    config = _shared(file, metadata, "mamba2")
    heads, inner = config["time_step_rank"], config["intermediate_size"]
    return config | {
        "num_heads": heads,
        "head_dim": state_head_dim(inner, heads),
        "n_groups": metadata.size(".ssm.group_count", 1),
        "time_step_limit": (0.0, math.inf),
    }


_NAMES = {stem: f"mixer.{module}" for stem, module in SSM_NAMES.items()} | {"attn_norm": "norm"}
_PARAMETERS = {stem: f"mixer.{name}" for stem, name in SSM_PARAMETERS.items()}
_TOP = {"token_embd": "backbone.embeddings", "output_norm": "backbone.norm_f"}

ARCHITECTURES: dict[str, Architecture] = {
    "mamba": Architecture(_mamba, _NAMES, _TOP, "backbone.layers", _PARAMETERS),
    "mamba2": Architecture(
        _mamba2,
        _NAMES,
        _TOP,
        "backbone.layers",
        _PARAMETERS | {"ssm_dt.bias": "mixer.dt_bias"},
    ),
}

"""Directories as they are published: names, shapes and packings that mlx-lm's own do not have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_model import WIDE, write_model
from vocabularies import bpe_values

from engine.conversion.convert import convert
from engine.conversion.vocabulary_files import tokenizer_files
from engine.loading import EngineOptions, load_model
from engine.network.gguf_values import Metadata
from models.formats.gguf import read_gguf
from models.resolve import resolve_path
from models.store.new_files import write_files

FOLDER = Path(__file__).parents[2] / "golden" / "architectures"

Arrays = dict[str, mx.array]


def with_one_expansion(arrays: Arrays) -> Arrays:
    """DeepSeek V2's `kv_b_proj`: for each head its keys, transposed here, then its values."""
    found = dict(arrays)
    for name in [name for name in arrays if name.endswith(".embed_q.weight")]:
        before = name.removesuffix(".embed_q.weight")
        keys, values = found.pop(name), found.pop(f"{before}.unembed_out.weight")
        heads = mx.concatenate([keys.swapaxes(1, 2), values], axis=1)
        found[f"{before}.kv_b_proj.weight"] = heads.reshape(-1, heads.shape[-1])
    return found


def with_joint_experts(arrays: Arrays) -> Arrays:
    """transformers' gpt-oss: gates and ups in turn, inputs before outputs, biases beside them."""
    found = dict(arrays)
    for name in [name for name in arrays if name.endswith(".gate_proj.weight")]:
        before = name.removesuffix(".gate_proj.weight")
        pairs = ((f"{before}.{part}_proj.weight", f"{before}.{part}_proj.bias")
                 for part in ("gate", "up", "down"))  # fmt: skip
        parts = [(found.pop(weight), found.pop(bias)) for weight, bias in pairs]
        (gate, gate_bias), (up, up_bias), (down, down_bias) = parts
        rows = mx.stack([gate, up], axis=2).reshape(gate.shape[0], -1, gate.shape[-1])
        found[f"{before}.gate_up_proj"] = rows.swapaxes(1, 2)
        biases = mx.stack([gate_bias, up_bias], axis=2)
        found[f"{before}.gate_up_proj_bias"] = biases.reshape(gate.shape[0], -1)
        found[f"{before}.down_proj"] = down.swapaxes(1, 2)
        found[f"{before}.down_proj_bias"] = down_bias
    return found


def as_transformers_5_has_it(config: dict[str, Any]) -> dict[str, Any]:
    """Everything that turns positions in one object."""
    rope = dict(config.pop("rope_scaling", None) or {"rope_type": "default"})
    rope["rope_theta"] = config.pop("rope_theta")
    if "partial_rotary_factor" in config:
        rope["partial_rotary_factor"] = config.pop("partial_rotary_factor")
    return config | {"rope_parameters": rope}


def publish(name: str, directory: Path, change: Callable[[Arrays], Arrays]) -> None:
    write_files(convert(resolve_path(FOLDER / f"{name}.gguf"), "mlx", "F16"), directory)
    path = directory / "model.safetensors"
    arrays: Any = mx.load(str(path))
    mx.eval(arrays)
    mx.save_safetensors(str(path), change(arrays))
    config = json.loads((directory / "config.json").read_text())
    config.pop("latent_cache", None)
    (directory / "config.json").write_text(json.dumps(as_transformers_5_has_it(config)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("deepseek2", with_one_expansion),
        ("deepseek2-lite-yarn", with_one_expansion),
        ("gpt-oss", with_joint_experts),
        ("glm4", dict),
        ("glm4moe", dict),
        ("granitemoe", dict),
    ],
)
def test_a_published_directory_becomes_the_converters_file(
    name: str, change: Callable[[Arrays], Arrays], tmp_path: Path
) -> None:
    publish(name, tmp_path / "published", change)
    write_files(convert(resolve_path(tmp_path / "published"), "gguf"), tmp_path / "made.gguf")
    golden, made = read_gguf(FOLDER / f"{name}.gguf"), read_gguf(tmp_path / "made.gguf")
    assert made.tensors.keys() <= golden.tensors.keys()
    assert len(made.tensors) > 20
    for key, tensor in made.tensors.items():
        assert tensor == golden.tensors[key]
        np.testing.assert_array_equal(made.tensor_bytes(key), golden.tensor_bytes(key), key)
    turned = f"{golden.metadata['general.architecture']}.rope.dimension_count"
    if turned in golden.metadata:
        assert made.metadata[turned] == golden.metadata[turned]


def test_a_published_gpt_oss_is_loaded_too(tmp_path: Path) -> None:
    publish("gpt-oss", tmp_path / "published", with_joint_experts)
    load_model(resolve_path(tmp_path / "published"), EngineOptions(max_context_tokens=64))


@pytest.mark.parametrize(("mode", "bits"), [("mxfp4", 4), ("mxfp8", 8), ("nvfp4", 4)])
def test_floating_point_blocks_become_the_dense_weights_they_stand_for(
    mode: str, bits: int, tmp_path: Path
) -> None:
    group_size = 16 if mode == "nvfp4" else 32
    network = write_model(
        tmp_path / "mlx", {**WIDE, "vocab_size": 320}, bits, group_size, mode=mode
    )
    prefixed = {f"tokenizer.ggml.{key}": value for key, value in bpe_values(["h e"]).items()}
    for file in tokenizer_files(Metadata({"general.architecture": "llama", **prefixed})):
        (tmp_path / "mlx" / file.name).write_bytes(b"".join(file.pieces()))
    write_files(convert(resolve_path(tmp_path / "mlx"), "gguf", "F32"), tmp_path / "a.gguf")
    layer = network.layers[0].mlp.down_proj
    dense = mx.dequantize(
        layer.weight, layer.scales, group_size=group_size, bits=bits, mode=mode, dtype=mx.float32
    )
    stored = read_gguf(tmp_path / "a.gguf").tensor_bytes("blk.0.ffn_down.weight").view("<f4")
    np.testing.assert_array_equal(stored, np.array(dense))

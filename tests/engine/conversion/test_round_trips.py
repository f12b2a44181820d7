"""Models that go to another format and back, and what they compute there."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_model import WIDE, write_model
from vocabularies import bpe_values

from engine.conversion.convert import Target, convert, quantize
from engine.conversion.gguf_metadata import ARCHITECTURES as IN_GGUF
from engine.conversion.to_directory import ARCHITECTURES as IN_HUGGING_FACE
from engine.conversion.types import Affine
from engine.conversion.vocabulary_files import tokenizer_files
from engine.loading import EngineOptions, load_model
from engine.network.directory_weights import read_config
from engine.network.gguf_config import config_from_gguf
from engine.network.gguf_names import module_paths
from engine.network.gguf_values import Metadata
from engine.request import Request, SamplingParams
from models.errors import InvalidInput, Unsupported
from models.formats.gguf import read_gguf
from models.resolve import resolve_path
from models.store.new_files import write_files

FOLDER = Path(__file__).parents[2] / "golden" / "architectures"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "log_probabilities.json").read_text())
MODEL_TYPES = {
    path.stem: config_from_gguf(read_gguf(path))["model_type"] for path in FOLDER.glob("*.gguf")
}
CONVERTIBLE = sorted(name for name, kind in MODEL_TYPES.items() if kind in IN_GGUF)


ROPE_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
LAYERS_AHEAD = ("block_count", "nextn_predict_layers")
NOT_WRITTEN = {"phi3.rope.scaling.original_context_length"}  # where nothing is stretched


def write_vocabulary(directory: Path) -> None:
    """Byte pairs in the place of whatever the directory has."""
    prefixed = {f"tokenizer.ggml.{key}": value for key, value in bpe_values(["h e"]).items()}
    for file in tokenizer_files(Metadata({"general.architecture": "llama", **prefixed})):
        (directory / file.name).write_bytes(b"".join(file.pieces()))


def logprobs_of(path: Path, name: str) -> list[float]:
    """Of the golden tokens, given those before them."""
    engine = load_model(resolve_path(path), EngineOptions(max_context_tokens=120)).engine
    sampling = SamplingParams(temperature=0, max_tokens=0)
    tokens = tuple(GOLDEN[name]["tokens"])
    engine.add_request(Request("a", tokens, sampling, num_prompt_logprobs=0))
    found: list[float] = []
    while engine.has_unfinished:
        for output in engine.step():
            found += [scored.logprob for scored in output.prompt_logprobs]
    return found


def test_every_known_family_is_tried() -> None:
    tried = {MODEL_TYPES[name] for name in CONVERTIBLE}
    known = set(IN_GGUF) - {"mistral"}  # its GGUF files are llama's
    assert known <= tried
    assert set(IN_HUGGING_FACE) <= set(IN_GGUF)


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_gguf_to_a_directory_and_back_changes_no_weight(name: str, tmp_path: Path) -> None:
    target: Target = "safetensors" if MODEL_TYPES[name] in IN_HUGGING_FACE else "mlx"
    original = FOLDER / f"{name}.gguf"
    write_files(convert(resolve_path(original), target), tmp_path / "directory")
    write_files(convert(resolve_path(tmp_path / "directory"), "gguf"), tmp_path / "back.gguf")
    before, after = read_gguf(original), read_gguf(tmp_path / "back.gguf")
    used = {**module_paths(before, config_from_gguf(before)), **dict.fromkeys(ROPE_TENSORS)}
    kept = before.tensors.keys() & used.keys()  # without the layers that predict further tokens
    assert kept == after.tensors.keys()
    for key, tensor in ((key, before.tensors[key]) for key in kept):
        assert after.tensors[key].shape == tensor.shape, key
        if after.tensors[key].quantization == tensor.quantization:
            np.testing.assert_array_equal(before.tensor_bytes(key), after.tensor_bytes(key), key)
    own = {key for key in before.metadata if key.startswith(f"{IN_GGUF[MODEL_TYPES[name]]}.")}
    own -= {f"{IN_GGUF[MODEL_TYPES[name]]}.{key}" for key in LAYERS_AHEAD if name == "glm4moe"}
    assert own - NOT_WRITTEN <= after.metadata.keys()
    for key in own & after.metadata.keys():
        np.testing.assert_array_equal(before.metadata[key], after.metadata[key], key)


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_the_directory_and_the_file_made_of_it_compute_the_same(name: str, tmp_path: Path) -> None:
    original = FOLDER / f"{name}.gguf"
    write_files(convert(resolve_path(original), "mlx", "F32"), tmp_path / "directory")
    write_files(convert(resolve_path(tmp_path / "directory"), "gguf"), tmp_path / "back.gguf")
    expected = logprobs_of(original, name)
    assert logprobs_of(tmp_path / "directory", name) == pytest.approx(expected, abs=5e-3)
    assert logprobs_of(tmp_path / "back.gguf", name) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("bits", [4, 8])
def test_an_mlx_model_keeps_its_values_on_the_way_to_gguf(bits: int, tmp_path: Path) -> None:
    """The quantized weights become the dense ones they stand for."""
    network = write_model(tmp_path / "mlx", {**WIDE, "vocab_size": 320}, bits, 64)
    write_vocabulary(tmp_path / "mlx")
    write_files(convert(resolve_path(tmp_path / "mlx"), "gguf", "F32"), tmp_path / "a.gguf")
    layer = network.layers[0].mlp.down_proj
    dense = mx.dequantize(layer.weight, layer.scales, layer.biases, 64, bits)
    file = read_gguf(tmp_path / "a.gguf")
    stored = file.tensor_bytes("blk.0.ffn_down.weight").view("<f4")
    np.testing.assert_allclose(stored, np.array(dense.astype(mx.float32)), atol=1e-3)


def test_affine_quantization_is_what_mlx_computes(tmp_path: Path) -> None:
    network = write_model(tmp_path / "dense", WIDE, None, 64)
    files = resolve_path(tmp_path / "dense")
    write_files(quantize(files, Affine(4, 64)), tmp_path / "made")
    arrays = mx.load(str(tmp_path / "made" / "model.safetensors"))
    assert isinstance(arrays, dict)
    weight = network.layers[1].self_attn.q_proj.weight.astype(mx.bfloat16)
    for kind, expected in zip(
        ("weight", "scales", "biases"), mx.quantize(weight, 64, 4), strict=True
    ):
        found = arrays[f"model.layers.1.self_attn.q_proj.{kind}"]
        assert mx.array_equal(found, expected).item()
    config = read_config(tmp_path / "made")
    assert config["quantization"] == {"group_size": 64, "bits": 4, "mode": "affine"}
    load_model(resolve_path(tmp_path / "made"), EngineOptions())


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    llama = resolve_path(FOLDER / "llama.gguf")
    with pytest.raises(InvalidInput, match="GGUF model already"):
        convert(llama, "gguf")
    with pytest.raises(InvalidInput, match="no use for an importance matrix"):
        quantize(llama, Affine(4, 32), importance={})
    write_model(tmp_path / "mlx", WIDE, 4, 64)
    with pytest.raises(InvalidInput, match="quantized already, as affine4_g64"):
        quantize(resolve_path(tmp_path / "mlx"), Affine(8, 64))
    (tmp_path / "mlx" / "config.json").write_text(json.dumps({**WIDE, "model_type": "mamba"}))
    with pytest.raises(Unsupported, match="'mamba' model cannot be converted"):
        convert(resolve_path(tmp_path / "mlx"), "gguf")

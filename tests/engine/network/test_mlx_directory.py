"""MLX directories: quantized by MLX, loaded by us, the same logits as MLX's own layers give."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_model import WIDE, load, write_model

from engine.network.mlx_matrices import FLOAT_MODES, take_matrix
from engine.request import Request, SamplingParams
from metal_kernels import quantized
from metal_kernels.quantized import QuantizedMatrix
from models.errors import InvalidModelFile, NotFound, Unsupported


@pytest.mark.parametrize(
    ("bits", "group_size"), [(4, 64), (4, 32), (8, 64), (8, 128), (6, 32), (3, 64), (None, 0)]
)
def test_logits_are_mlx_own(tmp_path: Path, bits: int | None, group_size: int) -> None:
    reference = write_model(tmp_path / "model", WIDE, bits, group_size)
    loaded = load(tmp_path / "model", tmp_path)
    prompt = (5, 9, 33, 2, 17, 60, 41)
    params = SamplingParams(temperature=0, max_tokens=1, num_logprobs=20)
    loaded.engine.add_request(Request("a", prompt, params))
    (output,) = loaded.engine.step()
    logits = np.array(reference(mx.array([prompt]))[0, -1].astype(mx.float32), np.float64)
    expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    for token_id, logprob in output.logprobs[0].alternatives:
        assert abs(logprob - expected[token_id]) < 0.01


def test_what_was_loaded_is_described(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WIDE, 4, 64)
    info = load(tmp_path / "model", tmp_path).info
    assert (info.architecture, info.quantization) == ("llama", "affine4_g64")
    assert info.context_length == info.trained_context_length == 512


def test_text_goes_in_and_comes_out(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WIDE, 8, 64)
    loaded = load(tmp_path / "model", tmp_path)
    token_ids = loaded.tokenizer.encode("w5 w9 w33")
    assert token_ids[-3:] == [5, 9, 33]
    assert loaded.tokenizer.eos_token_ids == {1}


@pytest.mark.parametrize("change", [{"group_size": 16}, {"bits": 7}])
def test_group_sizes_and_bits_mlx_would_mangle_are_refused(
    tmp_path: Path, change: dict[str, int]
) -> None:
    write_model(tmp_path / "model", WIDE, 4, 32)
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["quantization"].update(change)
    path.write_text(json.dumps(config))
    with pytest.raises(InvalidModelFile, match="groups of"):
        load(tmp_path / "model", tmp_path)


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WIDE, None, 0)
    path = tmp_path / "model" / "model.safetensors"
    weights: Any = mx.load(str(path))
    norm = weights.pop("model.norm.weight")
    mx.eval(weights)
    mx.save_safetensors(str(path), weights)
    with pytest.raises(InvalidModelFile, match=r"model\.norm\.weight"):
        load(tmp_path / "model", tmp_path)
    mx.save_safetensors(str(path), {**weights, "model.norm.weight": norm, "model.extra": norm})
    with pytest.raises(InvalidModelFile, match=r"model\.extra"):
        load(tmp_path / "model", tmp_path)


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WIDE, None, 0)
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**WIDE, "model_type": "nonesuch"}))
    with pytest.raises(Unsupported, match="nonesuch") as caught:
        load(tmp_path / "model", tmp_path)
    assert "llama" in str(caught.value.hint)


def test_a_directory_without_weights_says_so(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WIDE, None, 0)
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises((NotFound, InvalidModelFile), match="safetensors"):
        load(tmp_path / "model", tmp_path)


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8", "nvfp4"])
def test_float_formats_are_exact(mode: str) -> None:
    weight = mx.random.normal((48, 64), key=mx.random.key(2)) * 3
    bits, group_size = FLOAT_MODES[mode]
    packed, scales = mx.quantize(weight, group_size, bits, mode=mode)
    settings = {"bits": bits, "group_size": group_size, "mode": mode}
    arrays = {"a.weight": packed, "a.scales": scales}
    label, matrix = take_matrix("a", arrays, settings, 64)
    assert label == mode
    assert isinstance(matrix, QuantizedMatrix)
    expected = mx.dequantize(packed, scales, group_size=group_size, bits=bits, mode=mode)
    assert mx.array_equal(quantized.dequantize(matrix), expected.astype(mx.float32))


def test_each_layer_may_have_its_own_format() -> None:
    """Named in the configuration, or shown by its arrays alone."""
    weight = mx.random.normal((8, 128))
    common = {"bits": 4, "group_size": 64}
    for bits, group_size, named in ((6, 32, True), (8, 64, False), (4, 64, False)):
        parts = mx.quantize(weight, group_size, bits)
        arrays = dict(zip(("a.weight", "a.scales", "a.biases"), parts, strict=True))
        own = {"a": {"bits": bits, "group_size": group_size}} if named else {}
        assert take_matrix("a", arrays, common | own, 128)[0] == f"affine{bits}_g{group_size}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 4, "group_size": 64, "mode": "mxfp4"}, "mxfp4 has 4 bits in groups of 32"),
        ({"bits": 4, "group_size": 64, "mode": "zfp"}, "known: affine, mxfp4"),
        ({"bits": 4, "group_size": 256}, "groups one of"),
        ({"a": {"bits": 8, "group_size": 32}}, "its arrays have 4 bits in groups of 64"),
    ],
)
def test_formats_that_mlx_does_not_have_are_refused(settings: dict[str, Any], message: str) -> None:
    packed, scales, biases = mx.quantize(mx.ones((4, 128)), 64, 4)
    arrays = {"a.weight": packed, "a.scales": scales, "a.biases": biases}
    with pytest.raises(InvalidModelFile, match=message):
        take_matrix("a", arrays, settings, 128)

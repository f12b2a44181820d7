"""GGUF files in other formats: what is copied, what is computed, and what it costs."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from engine.conversion import source as source_module
from engine.conversion.convert import open_source, tensor_names
from engine.conversion.importance import (
    ImportanceMatrix,
    check_importance,
    importance_pieces,
    measure_importance,
    read_importance,
)
from engine.conversion.quantize import quantize_to_gguf
from engine.conversion.source import read_slabs
from engine.network.layers import QuantizedLinear
from engine.network_loading import load_network
from metal_kernels import reference
from metal_kernels.quantize import quantize_blocks
from models.errors import InvalidInput, InvalidModelFile
from models.formats.gguf import GGUFFile, read_gguf
from models.formats.gguf_writer import NewTensor, encode_value, gguf_pieces
from models.resolve import resolve_path
from models.store.new_files import write_files
from scripts.make_synthetic_model import Shape, write_model

SHAPE = Shape(
    layers=2, width=256, ffn=512, heads=4, kv_heads=2, head_size=64, vocab=512, context=256
)
LETTERS = np.random.default_rng(3).choice(list("etaoin shrdlu "), 4000)
TEXT = "".join(LETTERS)


@pytest.fixture(scope="module")
def f16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("f16") / "model-F16.gguf"
    write_model(path, SHAPE, "F16", 1)
    return path


@pytest.fixture(scope="module")
def matrix(f16: Path) -> ImportanceMatrix:
    files = resolve_path(f16)
    return measure_importance(files, tensor_names(open_source(files)), TEXT, "cats")


def quantized(path: Path, target: Path, mix: str = "Q4_K_M", **options: object) -> GGUFFile:
    write_files(quantize_to_gguf(read_gguf(path), mix, **options), target)  # type: ignore[arg-type]
    return read_gguf(target)


def test_metadata_goes_over_and_says_what_was_done(f16: Path, tmp_path: Path) -> None:
    before, after = read_gguf(f16), quantized(f16, tmp_path / "a.gguf")
    assert after.metadata["general.file_type"] == 15
    assert after.metadata["general.quantization_version"] == 2
    for key in before.metadata.keys() - {"general.file_type", "general.quantization_version"}:
        assert after.metadata_bytes(key) == before.metadata_bytes(key), key


def test_every_tensor_is_what_the_kernel_makes_of_it(f16: Path, tmp_path: Path) -> None:
    before, after = read_gguf(f16), quantized(f16, tmp_path / "a.gguf")
    assert before.tensors.keys() == after.tensors.keys()
    for name, tensor in after.tensors.items():
        source = before.tensors[name]
        expected = before.tensor_bytes(name)
        if source.quantization != tensor.quantization:
            columns = source.shape[-1]
            expected = quantize_blocks(tensor.quantization, expected, "F16", columns)
        np.testing.assert_array_equal(after.tensor_bytes(name), expected)


def test_slabs_do_not_change_the_result(
    f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized(f16, tmp_path / "whole.gguf")
    monkeypatch.setattr(source_module, "MAX_SLAB_WEIGHTS", 256 * 7)
    tensor = read_gguf(f16).tensors["token_embd.weight"]
    assert len(list(read_slabs(read_gguf(f16), tensor))) == -(-512 // 7)
    quantized(f16, tmp_path / "slabs.gguf")
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "slabs.gguf").read_bytes()


@pytest.mark.parametrize("dense", ["F32", "BF16", "F16"])
def test_dense_formats_round_to_the_nearest(dense: str, f16: Path, tmp_path: Path) -> None:
    before, after = read_gguf(f16), quantized(f16, tmp_path / "a.gguf", dense)
    name = "blk.0.ffn_up.weight"
    original = reference.dequantize_blocks("F16", before.tensor_bytes(name), 256)
    stored = reference.dequantize_blocks(dense, after.tensor_bytes(name), 256)
    relative = {"F32": 0, "F16": 0, "BF16": 2**-8}[dense]
    assert after.tensors[name].quantization == dense
    np.testing.assert_allclose(stored, original, rtol=relative)


def test_what_is_quantized_already_is_refused_unless_allowed(f16: Path, tmp_path: Path) -> None:
    quantized(f16, tmp_path / "a.gguf", "Q8_0")
    with pytest.raises(InvalidInput, match="quantized already, as Q8_0"):
        quantize_to_gguf(read_gguf(tmp_path / "a.gguf"), "Q4_K_M")
    after = quantized(tmp_path / "a.gguf", tmp_path / "b.gguf", "Q4_K_M", allow_requantize=True)
    assert after.tensors["blk.0.attn_q.weight"].quantization == "Q4_K"


def write_experts(path: Path, kind: str = "F32", scale: float = 1.0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(0).normal(0, scale, (3, 8, 256)).astype(np.float32)
    arrays = {"blk.0.ffn_up_exps.weight": values}
    entries = {
        "general.architecture": encode_value("qwen3moe"),
        "qwen3moe.block_count": encode_value(1),
        "qwen3moe.attention.head_count": encode_value(4),
        "qwen3moe.expert_count": encode_value(3),
    }
    tensors = [NewTensor(name, kind, array.shape) for name, array in arrays.items()]
    pieces = gguf_pieces(entries, tensors, lambda tensor: [arrays[tensor.name].tobytes()])
    path.write_bytes(b"".join(pieces))
    return arrays


def test_each_expert_has_its_own_importance(tmp_path: Path) -> None:
    ((name, values),) = write_experts(tmp_path / "experts.gguf").items()
    weights = np.random.default_rng(1).gamma(0.5, 1, (3, 256)).astype(np.float32)
    after = quantized(
        tmp_path / "experts.gguf", tmp_path / "a.gguf", "Q4_K_S", importance={name: weights}
    )
    assert after.tensors[name].shape == (3, 8, 256)
    expected = [
        quantize_blocks("Q4_K", values[i].view(np.uint8), "F32", 256, weights[i]) for i in range(3)
    ]
    np.testing.assert_array_equal(after.tensor_bytes(name), np.concatenate(expected))


def test_a_weight_that_a_format_cannot_hold_is_named(tmp_path: Path) -> None:
    write_experts(tmp_path / "large.gguf", scale=1e6)
    with pytest.raises(InvalidModelFile, match=r"ffn_up_exps.weight: has weights that F16"):
        quantized(tmp_path / "large.gguf", tmp_path / "a.gguf", "F16")
    write_experts(tmp_path / "nan.gguf", scale=float("nan"))
    with pytest.raises(InvalidModelFile, match=r"ffn_up_exps.weight: a weight is not a finite"):
        quantized(tmp_path / "nan.gguf", tmp_path / "a.gguf", "Q4_K_M")
    assert not (tmp_path / "a.gguf").exists()


def test_importance_is_the_mean_square_of_what_each_layer_sees(
    f16: Path, matrix: ImportanceMatrix
) -> None:
    assert matrix.window_tokens == 255
    assert matrix.means["blk.0.attn_q.weight"].shape == (1, 256)
    assert len(matrix.sums) == 2 * 7
    loaded = load_network(resolve_path(f16))
    loaded.network.eval()
    seen: list[np.ndarray] = []

    class Watching(QuantizedLinear):
        def __call__(self, x: mx.array) -> mx.array:
            seen.append(np.array(x, np.float32).reshape(-1, 256))
            return super().__call__(x)

    loaded.network.model.layers[0].self_attn.q_proj.__class__ = Watching
    tokens = loaded.tokenizer.encode(TEXT, add_special=True)
    for start in range(0, len(tokens) - 254, 255):
        mx.eval(loaded.network(mx.array([tokens[start : start + 255]])))
    rows = np.concatenate(seen)
    # Windows that begin alike share rows, and what is sampled at the end may add some.
    assert matrix.counts["blk.0.attn_q.weight"] == pytest.approx([len(rows)], rel=0.01)
    expected = (rows**2).mean(axis=0)
    np.testing.assert_allclose(matrix.means["blk.0.attn_q.weight"][0], expected, rtol=0.02)


def test_a_matrix_is_kept_in_a_file_and_belongs_to_its_model(
    f16: Path, matrix: ImportanceMatrix, tmp_path: Path
) -> None:
    path = tmp_path / "importance.gguf"
    path.write_bytes(b"".join(importance_pieces(matrix)))
    back = read_importance(path)
    assert (back.dataset, back.num_windows) == ("cats", matrix.num_windows)
    for name, means in matrix.means.items():
        np.testing.assert_array_equal(back.means[name], means)
    check_importance(back, read_gguf(f16))
    write_experts(tmp_path / "other.gguf")
    with pytest.raises(InvalidInput, match="made for another model"):
        check_importance(back, read_gguf(tmp_path / "other.gguf"))
    with pytest.raises(InvalidModelFile, match="not an importance matrix"):
        read_importance(f16)


def test_a_text_of_a_few_words_is_too_short(f16: Path) -> None:
    files = resolve_path(f16)
    with pytest.raises(InvalidInput, match="at least 255 are needed"):
        measure_importance(files, tensor_names(open_source(files)), "short", "short")


def test_the_made_file_runs(f16: Path, tmp_path: Path) -> None:
    quantized(f16, tmp_path / "a.gguf", "Q3_K_M")
    assert load_network(resolve_path(tmp_path / "a.gguf")).weights.quantization == "Q3_K"

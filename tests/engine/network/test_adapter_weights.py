"""Every kind of adapter gives the logits of the model it would be merged into.

The merged weights follow the definitions of the programs that wrote the files, in NumPy: W + s B A,
and for DoRA the rows of that with given lengths.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from tiny import CONFIG, tiny_network

from engine.network.adapter_weights import load_layer_adapters
from engine.network.layers import QuantizedLinear
from engine.network.lora import adapter_digest, load_adapter
from engine.network.placing import find_module
from metal_kernels import quantized
from models.adapter_layers import read_adapter
from models.adapters import find_adapter
from models.errors import InvalidModelFile, Unsupported
from tests.models import gguf_writer as w

IDS = mx.array([[5, 3, 8, 1, 9, 2, 4]])
RANK = 4
MODULES = (
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.self_attn.k_proj",
    "model.layers.1.self_attn.o_proj",
    "model.layers.2.mlp.down_proj",
    "lm_head",
)

Matrices = dict[str, tuple[np.ndarray, np.ndarray]]
"""Of each module A [rank, in] and B [out, rank], as PEFT has them."""


def random_matrices(modules: tuple[str, ...] = MODULES, rank: int = RANK) -> Matrices:
    rng = np.random.default_rng(7)
    network = tiny_network()
    found = {}
    for module in modules:
        outputs, inputs = find_module(network, module).weight.shape
        a, b = rng.normal(0, 0.3, (rank, inputs)), rng.normal(0, 0.3, (outputs, rank))
        found[module] = (a.astype(np.float32), b.astype(np.float32))
    return found


def merged(change: Callable[[str, np.ndarray], np.ndarray]) -> mx.array:
    """Logits of the tiny model after `change` was applied to each weight by its path."""
    network = tiny_network()
    for path, module in list(network.named_modules()):
        if isinstance(module, QuantizedLinear):
            weight = change(path, np.array(module.weight)).astype(np.float32)
            _put(network, path, weight)
    return network(IDS)


def _put(network: nn.Module, path: str, weight: np.ndarray) -> None:
    matrix = quantized.load_blocks(
        "F32", np.ascontiguousarray(weight).view(np.uint8), weight.shape[1]
    )
    parent, _, name = path.rpartition(".")
    find_module(network, parent)[name] = QuantizedLinear(matrix)


def write_peft(directory: Path, matrices: Matrices, *, infix: str = "", **config: Any) -> Path:
    directory.mkdir()
    arrays = {}
    for module, (a, b) in matrices.items():
        arrays[f"base_model.model.{module}.lora_A{infix}.weight"] = mx.array(a)
        arrays[f"base_model.model.{module}.lora_B{infix}.weight"] = mx.array(b)
    text = {"peft_type": "LORA", "r": RANK, "lora_alpha": 6, "base_model_name_or_path": "o/base"}
    mx.save_safetensors(str(directory / "adapter_model.safetensors"), arrays)
    (directory / "adapter_config.json").write_text(json.dumps(text | config))
    return directory


def logits_with(path: Path, **changes: Any) -> mx.array:
    network = tiny_network(**changes)
    load_adapter(network, CONFIG, path)
    return network(IDS)


def added(matrices: Matrices, scale: Callable[[str], float]) -> mx.array:
    def change(path: str, weight: np.ndarray) -> np.ndarray:
        if path not in matrices:
            return weight
        a, b = matrices[path]
        return weight + scale(path) * (b @ a)

    return merged(change)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, lambda _: 6 / RANK),
        ({"use_rslora": True}, lambda _: 6 / math.sqrt(RANK)),
        ({"alpha_pattern": {"self_attn.q_proj": 12}}, lambda p: (12 if "q_" in p else 6) / RANK),
        ({"alpha_pattern": {r"layers\.0\.self_attn\..": 1, "lm_head": 2}},
         lambda p: (2 if p == "lm_head" else 6) / RANK),
    ],
)  # fmt: skip
def test_a_peft_adapter_gives_the_logits_of_the_merged_weights(
    tmp_path: Path, config: dict[str, Any], scale: Callable[[str], float]
) -> None:
    matrices = random_matrices()
    found = logits_with(write_peft(tmp_path / "lora", matrices, **config))
    expected = added(matrices, scale)
    assert mx.abs(found - expected).max() < 1e-3 * mx.abs(expected).max()
    assert mx.abs(found - tiny_network()(IDS)).max() > 0.1 * mx.abs(expected).max()


def test_names_of_other_wrappings_lead_to_the_same_layers(tmp_path: Path) -> None:
    plain = random_matrices()
    longer = {f"language_model.{m}" if "layers" in m else m: x for m, x in plain.items()}
    vision = {"vision_tower.encoder.layers.0.self_attn.q_proj": plain[MODULES[0]]}
    found = logits_with(write_peft(tmp_path / "a", longer | vision, infix=".default"))
    assert mx.array_equal(found, logits_with(write_peft(tmp_path / "b", plain)))


def test_dora_of_peft_and_of_mlx_lm_gives_rows_their_lengths(tmp_path: Path) -> None:
    matrices = random_matrices(MODULES[:4])
    rng = np.random.default_rng(1)
    lengths = {
        m: rng.uniform(1, 3, b.shape[0]).astype(np.float32) for m, (_, b) in matrices.items()
    }
    peft = write_peft(tmp_path / "peft", matrices, use_dora=True)
    arrays: Any = mx.load(str(peft / "adapter_model.safetensors"))
    for module, length in lengths.items():
        arrays[f"base_model.model.{module}.lora_magnitude_vector"] = mx.array(length)
    mx.save_safetensors(str(peft / "adapter_model.safetensors"), arrays)

    def change(path: str, weight: np.ndarray) -> np.ndarray:
        if path not in matrices:
            return weight
        a, b = matrices[path]
        whole = weight + 6 / RANK * (b @ a)
        return whole * (lengths[path] / np.linalg.norm(whole, axis=1))[:, None]

    expected = merged(change)
    limit = 1e-3 * mx.abs(expected).max()
    assert mx.abs(logits_with(peft) - expected).max() < limit
    mlx = write_mlx(tmp_path / "mlx", matrices, "dora", lengths)
    assert mx.abs(logits_with(mlx) - expected).max() < limit
    assert read_adapter(find_adapter(mlx)).label == "DoRA"


def write_mlx(
    directory: Path, matrices: Matrices, kind: str, lengths: dict[str, np.ndarray] | None = None
) -> Path:
    directory.mkdir()
    arrays = {f"{module}.m": mx.array(length) for module, length in (lengths or {}).items()}
    for module, (a, b) in matrices.items():
        arrays |= {f"{module}.lora_a": mx.array(a.T), f"{module}.lora_b": mx.array(b.T)}
    mx.save_safetensors(str(directory / "adapters.safetensors"), arrays)
    lora = {"rank": RANK, "scale": 6 / RANK, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    config = {"fine_tune_type": kind, "model": "o/base", "lora_parameters": lora}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory


def test_a_gguf_adapter_takes_the_converters_order_of_rows(tmp_path: Path) -> None:
    """llama.cpp's converter puts the rows of q and k into pairs, and those of their B with them."""
    matrices = random_matrices(MODULES[:4])
    names = ("blk.0.attn_q", "blk.0.attn_k", "blk.1.attn_output", "blk.2.ffn_down")
    heads = {"blk.0.attn_q": 4, "blk.0.attn_k": 2}
    tensors: dict[str, np.ndarray] = {}
    for name, (a, b) in zip(names, matrices.values(), strict=True):
        if name in heads:
            b = b.reshape(heads[name], 2, -1, RANK).swapaxes(1, 2).reshape(b.shape)
        tensors |= {f"{name}.weight.lora_a": a, f"{name}.weight.lora_b": b}
    path = write_gguf_adapter(tmp_path / "lora.gguf", tensors)
    expected = added(matrices, lambda _: 6 / RANK)
    limit = 1e-3 * mx.abs(expected).max()
    assert mx.abs(logits_with(path) - expected).max() < limit
    adapter = read_adapter(find_adapter(path))
    assert (adapter.base_model, adapter.architecture, adapter.ranks) == ("o/base", "llama", "4")
    half = {name: array.astype(np.float16) for name, array in tensors.items()}
    path = write_gguf_adapter(tmp_path / "half.gguf", half)
    assert mx.abs(logits_with(path) - expected).max() < 10 * limit


def write_gguf_adapter(path: Path, tensors: dict[str, np.ndarray], **more: Any) -> Path:
    metadata = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "general.base_model.0.repo_url": "https://huggingface.co/o/base",
        "adapter.type": "lora",
        "adapter.lora.alpha": 6.0,
    } | more
    described, data = [], b""
    for name, array in tensors.items():
        data += bytes(-len(data) % 32)
        kind = w.TYPE_IDS["F16" if array.dtype == np.float16 else "F32"]
        described.append(w.tensor(name, list(array.shape[::-1]), kind, len(data)))
        data += array.tobytes()
    entries = [w.value(key, content) for key, content in metadata.items()]
    path.write_bytes(w.assemble(entries, described, data))
    return path


def test_an_adapter_of_another_model_is_refused_with_the_one_it_is_for(tmp_path: Path) -> None:
    path = write_peft(tmp_path / "lora", random_matrices())
    with pytest.raises(
        InvalidModelFile, match=r"96 inputs and 64 outputs, .* 128 and 64"
    ) as caught:
        logits_with(path, intermediate_size=128)
    assert "trained on, o/base" in str(caught.value.hint)
    with pytest.raises(InvalidModelFile, match=r"layers\.2"):
        logits_with(path, num_hidden_layers=2)


@pytest.mark.parametrize(
    ("names", "config", "message"),
    [
        (["model.embed_tokens.lora_embedding_A"], {}, "lora_embedding_A is no matrix"),
        (["base_model.model.lm_head.weight"], {}, "lm_head.weight is no matrix"),
        (["model.layers.0.x.lora_A.weight"], {"peft_type": "IA3"}, "of type IA3"),
        (["model.layers.0.x.lora_A.weight"], {"lora_bias": True}, "adds biases"),
        (["model.layers.0.x.lora_A.weight"], {"layer_replication": [[0, 1]]}, "repeats layers"),
    ],
)
def test_what_is_not_applied_is_refused_by_name(
    tmp_path: Path, names: list[str], config: dict[str, Any], message: str
) -> None:
    path = write_peft(tmp_path / "lora", random_matrices(), **config)
    arrays: Any = mx.load(str(path / "adapter_model.safetensors"))
    arrays |= {name: mx.zeros((4, 64)) for name in names}
    mx.save_safetensors(str(path / "adapter_model.safetensors"), arrays)
    with pytest.raises(Unsupported, match=message):
        logits_with(path)


def test_half_an_adapter_is_refused(tmp_path: Path) -> None:
    path = write_peft(tmp_path / "lora", random_matrices())
    arrays: Any = mx.load(str(path / "adapter_model.safetensors"))
    del arrays["base_model.model.lm_head.lora_B.weight"]
    mx.save_safetensors(str(path / "adapter_model.safetensors"), arrays)
    with pytest.raises(InvalidModelFile, match="lm_head has one matrix of two"):
        logits_with(path)


def test_the_digest_changes_with_any_of_the_files(tmp_path: Path) -> None:
    path = write_peft(tmp_path / "lora", random_matrices())
    before = adapter_digest(path)
    (path / "README.md").write_text("no part of it")
    assert adapter_digest(path) == before
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 7}))
    assert adapter_digest(path) != before


def test_layers_come_as_thin_matrices_of_float32(tmp_path: Path) -> None:
    path = write_peft(tmp_path / "lora", random_matrices())
    for layer in load_layer_adapters(tiny_network(), CONFIG, path):
        assert (layer.a.dtype, layer.b.dtype, layer.scale) == (mx.float32, mx.float32, 1.5)
        assert layer.a.shape[1] == layer.b.shape[0] == RANK

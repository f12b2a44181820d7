"""A small random model as an MLX directory."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.utils
from tiny import CONFIG
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.loading import EngineOptions, load_model
from engine.network.zoo import build_network
from models.resolve import resolve
from models.store.library import Library

WIDE = {**CONFIG, "hidden_size": 128, "intermediate_size": 256, "head_dim": 32, "vocab_size": 64}


def write_model(
    directory: Path,
    config: dict[str, Any],
    bits: int | None,
    group_size: int,
    mode: str = "affine",
) -> Any:
    """A random model as mlx-lm's converter leaves it; returns the network with MLX's layers."""
    network = build_network(config)
    mx.random.seed(3)
    network.update(
        mlx.utils.tree_map(
            lambda a: mx.random.normal(a.shape) * 0.2 if a.ndim > 1 else a, network.parameters()
        )
    )
    network.set_dtype(mx.bfloat16 if bits is None else mx.float16)
    if bits is not None:
        nn.quantize(network, group_size, bits, mode=mode)
        settings = {"group_size": group_size, "bits": bits, "mode": mode}
        config = {**config, "quantization": settings}
    weights: Any = mlx.utils.tree_flatten(network.parameters(), destination={})
    directory.mkdir()
    mx.save_safetensors(str(directory / "model.safetensors"), weights, {"format": "mlx"})
    (directory / "config.json").write_text(json.dumps(config))
    vocab = {"<s>": 0, "</s>": 1} | {f"w{i}": i for i in range(2, config["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(directory / "tokenizer.json"))
    text = {"bos_token": "<s>", "eos_token": "</s>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(text))
    network.set_dtype(mx.float32)
    return network


def load(directory: Path, tmp_path: Path) -> Any:
    files = resolve(str(directory), Library(tmp_path / "library"))
    return load_model(files, EngineOptions())

"""Writes safetensors files and MLX directories, valid or not."""

import json
from pathlib import Path
from typing import Any

import numpy as np

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "vocab_size": 32,
    "quantization": {"group_size": 32, "bits": 4},
}


def file_bytes(header: Any, data: bytes = b"", *, header_bytes: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(raw) if header_bytes is None else header_bytes
    return length.to_bytes(8, "little") + raw + data


def tensor_file(tensors: dict[str, tuple[str, tuple[int, ...], int]], seed: int = 0) -> bytes:
    """`tensors` maps names to dtype, shape and bytes per item."""
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    position = 0
    for name, (dtype, shape, item_bytes) in tensors.items():
        stop = position + int(np.prod(shape)) * item_bytes
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, stop]}
        position = stop
    return file_bytes(header, np.random.default_rng(seed).bytes(position))


def write_mlx(directory: Path, *, shards: int = 1, seed: int = 0) -> Path:
    """A model of one 4-bit matrix of 16 x 64 weights and a norm of 64 in each shard."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "tokenizer.json").write_text("{}")
    config = {"chat_template": "{{ messages }}{{ tools }}"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    weight_map: dict[str, str] = {}
    for index in range(shards):
        tensors = {
            f"layers.{index}.q.weight": ("U32", (16, 8), 4),
            f"layers.{index}.q.scales": ("F16", (16, 2), 2),
            f"layers.{index}.q.biases": ("F16", (16, 2), 2),
            f"layers.{index}.norm.weight": ("F16", (64,), 2),
        }
        name = "model.safetensors"
        if shards > 1:
            name = f"model-{index + 1:05d}-of-{shards:05d}.safetensors"
        (directory / name).write_bytes(tensor_file(tensors, seed + index))
        weight_map |= dict.fromkeys(tensors, name)
    if shards > 1:
        index_text = json.dumps({"metadata": {}, "weight_map": weight_map})
        (directory / "model.safetensors.index.json").write_text(index_text)
    return directory

"""Low-rank adapters over stored weights: the base stays quantized, only two thin matrices learn.

Hu et al. 2021 (LoRA), Dettmers et al. 2023 (over a quantized base). The files are mlx-lm's:
`adapters.safetensors` and `adapter_config.json`, so either program reads the other's.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn

from engine.network.layers import QuantizedLinear
from engine.network.placing import find_module
from models.errors import InvalidInput, InvalidModelFile, NotFound

WEIGHTS_NAME = "adapters.safetensors"
CONFIG_NAME = "adapter_config.json"


@dataclass(frozen=True)
class LoRAConfig:
    """Shape of an adapter: `scale` multiplies its output, `num_layers` counts from the last."""

    rank: int = 8
    scale: float = 20.0
    num_layers: int = 16
    """-1: every layer."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 1024:
            raise InvalidInput(f"rank must be between 1 and 1024, not {self.rank}")
        if self.num_layers < -1 or self.num_layers == 0:
            raise InvalidInput(f"num_layers must be positive, or -1 for all, not {self.num_layers}")


class LoRALinear(nn.Module):
    """`base(x) + scale * x @ lora_a @ lora_b`; differentiable in `x`, `lora_a` and `lora_b`."""

    def __init__(self, base: QuantizedLinear, rank: int, scale: float) -> None:
        super().__init__()
        num_inputs, num_outputs = base.matrix.num_columns, base.matrix.num_rows
        self.base = base
        self.scale = scale
        bound = 1 / math.sqrt(num_inputs)
        self.lora_a = mx.random.uniform(-bound, bound, (num_inputs, rank))
        self.lora_b = mx.zeros((rank, num_outputs))

    def __call__(self, x: mx.array) -> mx.array:
        y = self.base(x)
        rows = x.reshape(-1, x.shape[-1])  # MLX multiplies a stack matrix by matrix
        delta = (rows @ self.lora_a) @ self.lora_b
        return y + (self.scale * delta).astype(x.dtype).reshape(y.shape)


def add_adapter(network: nn.Module, config: LoRAConfig) -> None:
    """Freeze the network and put trainable adapters over the linear layers of its last blocks."""
    network.freeze()
    num_blocks = len(network.layers)
    num_adapted = num_blocks if config.num_layers == -1 else min(config.num_layers, num_blocks)
    for block in network.layers[num_blocks - num_adapted :]:
        for path, layer in list(_linear_layers(block)):
            _replace(block, path, LoRALinear(layer, config.rank, config.scale))
    for _, adapter in _adapters(network):
        adapter.unfreeze(keys=["lora_a", "lora_b"], recurse=False)
    for block in network.layers[: num_blocks - num_adapted]:
        block.freeze()


def save_adapter(network: nn.Module, config: LoRAConfig, directory: Path) -> None:
    """Write the adapter; a reader sees the old files or the new ones, never half."""
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{path}.{name}": adapter[name]
        for path, adapter in _adapters(network)
        for name in ("lora_a", "lora_b")
    }
    aside = directory / f"new-{WEIGHTS_NAME}"
    mx.save_safetensors(str(aside), arrays)
    aside.replace(directory / WEIGHTS_NAME)
    lora = {"rank": config.rank, "scale": config.scale, "dropout": 0.0}
    text = {"fine_tune_type": "lora", "num_layers": config.num_layers, "lora_parameters": lora}
    aside = directory / f"new-{CONFIG_NAME}"
    aside.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    aside.replace(directory / CONFIG_NAME)


def load_adapter(network: nn.Module, directory: Path) -> None:
    """Put a saved adapter over the network.

    Raises:
        NotFound: the directory holds no adapter.
        InvalidModelFile: it was made for another network.
    """
    if not (directory / WEIGHTS_NAME).is_file() or not (directory / CONFIG_NAME).is_file():
        raise NotFound(
            f"{directory}: no adapter there",
            hint=f"an adapter directory holds {WEIGHTS_NAME} and {CONFIG_NAME}; "
            "`localllm finetune` writes one",
        )
    rank, scale = _read_config(directory / CONFIG_NAME)
    arrays = cast(dict[str, mx.array], mx.load(str(directory / WEIGHTS_NAME)))
    for path in sorted({name.rpartition(".")[0] for name in arrays}):
        layer = find_module(network, path)
        a, b = arrays.get(f"{path}.lora_a"), arrays.get(f"{path}.lora_b")
        if not isinstance(layer, QuantizedLinear) or a is None or b is None:
            raise InvalidModelFile(f"{directory}: {path!r} is no layer an adapter can sit on")
        shapes = (layer.matrix.num_columns, rank), (rank, layer.matrix.num_rows)
        if (a.shape, b.shape) != shapes:
            raise InvalidModelFile(
                f"{directory}: {path} has shapes {a.shape} and {b.shape}, "
                f"this model needs {shapes[0]} and {shapes[1]}",
                hint="use the adapter with the model it was trained on",
            )
        adapter = LoRALinear(layer, rank, scale)
        adapter.lora_a, adapter.lora_b = a, b
        _replace(network, path, adapter)


def adapter_digest(directory: Path) -> str:
    """64 hex digits that change with the adapter."""
    digest = hashlib.sha256()
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        path = directory / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _read_config(path: Path) -> tuple[int, float]:
    try:
        lora = json.loads(path.read_text(encoding="utf-8"))["lora_parameters"]
        return int(lora["rank"]), float(lora["scale"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidModelFile(f"{path}: no lora_parameters with rank and scale in it") from error


def _linear_layers(block: nn.Module) -> Iterator[tuple[str, QuantizedLinear]]:
    for path, module in block.named_modules():
        if isinstance(module, QuantizedLinear) and not path.endswith("base"):
            yield path, module


def _adapters(network: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    for path, module in network.named_modules():
        if isinstance(module, LoRALinear):
            yield path, module


def _replace(root: nn.Module, path: str, layer: nn.Module) -> None:
    parent_path, _, name = path.rpartition(".")
    find_module(root, parent_path)[name] = layer

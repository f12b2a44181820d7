"""Low-rank adapters over stored weights: the base stays quantized, only two thin matrices learn.

Hu et al. 2021 (LoRA), Dettmers et al. 2023 (over a quantized base). What is written
are mlx-lm's `adapters.safetensors` and `adapter_config.json`, so either program reads the other's.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.network.adapter_weights import LayerAdapter, load_layer_adapters
from engine.network.layers import QuantizedLinear
from engine.network.placing import find_module
from models.adapters import CONFIG_NAME, WEIGHTS_NAMES, find_adapter
from models.errors import InvalidInput

WEIGHTS_NAME = WEIGHTS_NAMES["mlx"]


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


class DoRALinear(LoRALinear):
    """As `LoRALinear`, then each output is scaled so that its row of weights has a given length.

    Liu et al. 2024, "DoRA". The lengths of the rows are computed once.
    """

    def __init__(self, base: QuantizedLinear, adapter: LayerAdapter) -> None:
        super().__init__(base, adapter.a.shape[1], adapter.scale)
        assert adapter.magnitude is not None
        self.lora_a, self.lora_b = adapter.a, adapter.b
        whole = base.weight.astype(mx.float32) + adapter.scale * (adapter.a @ adapter.b).T
        self.stretch = adapter.magnitude / mx.linalg.norm(whole, axis=1)
        mx.eval(self.stretch)

    def __call__(self, x: mx.array) -> mx.array:
        bias = self.base.bias if "bias" in self.base else 0
        return ((super().__call__(x) - bias) * self.stretch + bias).astype(x.dtype)


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


def load_adapter(network: nn.Module, config: Mapping[str, Any], path: Path) -> None:
    """Put a saved adapter over the network: a directory of mlx-lm's or PEFT's, or a GGUF file.

    Raises:
        NotFound, InvalidInput, Unsupported: no adapter there that can be applied.
        InvalidModelFile: it was made for another network.
    """
    for found in load_layer_adapters(network, config, path):
        base = find_module(network, found.path)
        rank = found.a.shape[1]
        adapter: LoRALinear
        if found.magnitude is None:
            adapter = LoRALinear(base, rank, found.scale)
            adapter.lora_a, adapter.lora_b = found.a, found.b
        else:
            adapter = DoRALinear(base, found)
        _replace(network, found.path, adapter)


def adapter_digest(path: Path) -> str:
    """64 hex digits that change with the adapter."""
    digest = hashlib.sha256()
    for file in find_adapter(path).paths:
        digest.update(file.read_bytes())
    return digest.hexdigest()


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

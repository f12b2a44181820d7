"""Brings any kind of adapter to one form: thin matrices for the linear layers of a network.

A GGUF adapter's names and rows follow llama.cpp's converter, so they take the way of the model's
own tensors; PEFT's names are those of Hugging Face's classes, which differ from the network's in
front of the layers alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.network.gguf_names import find_place
from engine.network.layers import QuantizedLinear
from engine.network.placing import find_module
from metal_kernels import quantized
from models.adapter_layers import Adapter, read_adapter
from models.adapters import find_adapter
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile, read_gguf


@dataclass(frozen=True)
class LayerAdapter:
    """What is added to the layer at `path`: `scale * x @ a @ b`, a [in, rank], b [rank, out].

    With `magnitude` [out], the rows of the sum of both matrices are given these lengths (DoRA).
    """

    path: str
    a: mx.array
    b: mx.array
    scale: float
    magnitude: mx.array | None = None


def load_layer_adapters(
    network: nn.Module, config: Mapping[str, Any], path: Path
) -> Iterator[LayerAdapter]:
    """The adapter at `path` (a directory or a GGUF file), layer by layer, in float32.

    Raises:
        NotFound, InvalidInput, InvalidModelFile, Unsupported: no adapter, or not for this network.
    """
    adapter = read_adapter(find_adapter(path))
    if adapter.files.kind == "gguf":
        layers = _load_gguf(adapter, config)
    else:
        layers = _load_safetensors(adapter, network)
    for layer in layers:
        _check(layer, network, adapter)
        yield layer


def _check(layer: LayerAdapter, network: nn.Module, adapter: Adapter) -> None:
    """Raise InvalidModelFile when the network has no such linear layer."""
    target = find_module(network, layer.path)
    where = f"{adapter.files.weights}: {layer.path}"
    hint = f"Use it with the model it was trained on{_named(adapter)}."
    if not isinstance(target, QuantizedLinear):
        raise InvalidModelFile(f"{where} is no linear layer of this model", hint=hint)
    found = layer.a.shape[0], layer.b.shape[1]
    wanted = target.matrix.num_columns, target.matrix.num_rows
    if found != wanted:
        raise InvalidModelFile(
            f"{where} has shapes for {found[0]} inputs and {found[1]} outputs, "
            f"this model's layer has {wanted[0]} and {wanted[1]}",
            hint=hint,
        )


def _named(adapter: Adapter) -> str:
    return f", {adapter.base_model}" if adapter.base_model else ""


def _load_safetensors(adapter: Adapter, network: nn.Module) -> Iterator[LayerAdapter]:
    arrays = cast(dict[str, mx.array], mx.load(str(adapter.files.weights)))
    is_peft = adapter.files.kind == "peft"
    paths = _LinearPaths(network)
    for layer in adapter.layers:
        a, b = (arrays[name].astype(mx.float32) for name in (layer.a, layer.b))
        lengths = None if layer.magnitude is None else arrays[layer.magnitude]
        magnitude = None if lengths is None else lengths.astype(mx.float32).reshape(-1)
        path = paths.find(layer.module) if is_peft else layer.module
        yield LayerAdapter(path, *((a.T, b.T) if is_peft else (a, b)), layer.scale, magnitude)


def _load_gguf(adapter: Adapter, config: Mapping[str, Any]) -> Iterator[LayerAdapter]:
    gguf = read_gguf(adapter.files.weights)
    sizes = {"head_dim": config["hidden_size"] // config["num_attention_heads"], **config}
    for layer in adapter.layers:
        place = find_place(f"{layer.module}.weight", adapter.architecture, sizes)
        a, b = _read_matrix(gguf, layer.a), _read_matrix(gguf, layer.b)
        if place.row_order is not None and b.shape[0] == len(place.row_order):
            b = b[mx.array(place.row_order)]
        path = place.path.removesuffix(".weight")
        yield LayerAdapter(path, a.T, b.T, layer.scale)


def _read_matrix(gguf: GGUFFile, name: str) -> mx.array:
    """float32 [rows, columns]"""
    tensor = gguf.tensors[name]
    if tensor.quantization not in quantized.GGUF_QUANTIZATIONS:
        raise InvalidModelFile(f"{name} is stored as {tensor.quantization}, which nothing reads")
    blocks = np.ascontiguousarray(gguf.tensor_bytes(name))
    return quantized.dequantize(
        quantized.load_blocks(tensor.quantization, blocks, tensor.shape[-1])
    )


class _LinearPaths:
    """Finds a linear layer by a name that may begin otherwise than in the network."""

    def __init__(self, network: nn.Module) -> None:
        self._paths: dict[str, set[str]] = defaultdict(set)
        for path, module in network.named_modules():
            if isinstance(module, QuantizedLinear):
                for tail in _tails(path):
                    self._paths[tail].add(path)

    def find(self, name: str) -> str:
        """The one layer whose path ends as `name` does, from the number of its block at least;
        `name` itself where there is none.
        """
        for tail in _tails(name):
            found = self._paths.get(tail, set())
            if len(found) == 1:
                return next(iter(found))
        return name


def _tails(path: str) -> Iterator[str]:
    """The path, then without its first parts, as long as its block's number is in it."""
    while path:
        yield path
        path = path.partition(".")[2]
        if not re.search(r"\.\d+\.", path):
            return

"""Puts stored weights into a module tree.

A matrix stays as its file stores it and becomes a layer of ours in the place of the network's own;
norms, biases and other small things become plain arrays in the activations' type.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from engine.network.gguf_names import Place
from engine.network.placing import (
    check_complete,
    find_module,
    has_matrices,
    place_arrays,
    place_matrix,
    place_stack,
)
from engine.network.precision import activation_dtype
from metal_kernels import grouped, quantized
from metal_kernels.grouped import MatrixStack
from metal_kernels.quantized import QuantizedMatrix
from models.errors import InvalidModelFile, NotFound, Unsupported
from models.gguf import GGUFFile, TensorInfo

AFFINE_BITS = (2, 3, 4, 5, 6, 8)
AFFINE_GROUP_SIZES = (32, 64, 128)
"""MLX's CPU backend returns garbage for others, without an error."""

DENSE_NAMES = {mx.bfloat16: "BF16", mx.float16: "F16", mx.float32: "F32"}


@dataclass(frozen=True)
class WeightSummary:
    """What was loaded."""

    num_bytes: int
    num_parameters: int
    quantization: str
    """The format most weights are in."""


def load_directory_weights(
    network: nn.Module, directory: Path, config: Mapping[str, Any]
) -> WeightSummary:
    """Load an MLX directory's safetensors into the network.

    Raises:
        NotFound: there are no weights.
        InvalidModelFile: they do not fit the configuration.
    """
    arrays = read_directory_arrays(directory)
    summary_bytes = sum(array.nbytes for array in arrays.values())
    arrays = network.sanitize(arrays) if hasattr(network, "sanitize") else arrays
    quantization = config.get("quantization") or config.get("quantization_config") or {}
    formats: Counter[str] = Counter()
    placed: set[str] = set()
    small: dict[str, mx.array] = {}
    for path, layer in list(_matrix_layers(network)):
        matrix = _take_matrix(path, arrays, quantization)
        bias = arrays.pop(f"{path}.bias", None)
        if bias is not None:
            layer.bias = bias.astype(activation_dtype())
            placed.add(f"{path}.bias")
        if isinstance(matrix, MatrixStack):
            place_stack(network, path, matrix)
        else:
            place_matrix(network, path, matrix)
        formats[matrix.quantization] += matrix.num_parameters
    small_dtype = _small_dtypes(network)
    for path, array in arrays.items():
        floating = mx.issubdtype(array.dtype, mx.floating)
        small[path] = array.astype(small_dtype(path)) if floating else array
    place_arrays(network, small)
    check_complete(network, placed | set(small))
    mx.eval(network.parameters())
    num_parameters = sum(formats.values()) + sum(array.size for array in small.values())
    return WeightSummary(summary_bytes, num_parameters, formats.most_common(1)[0][0])


def load_gguf_weights(
    network: nn.Module, gguf: GGUFFile, places: Mapping[str, Place]
) -> WeightSummary:
    """Load the tensors of a GGUF file into the network, each to its place.

    Raises:
        InvalidModelFile: they do not fit the configuration, or some are missing.
        Unsupported: a tensor's format has no kernel.
    """
    formats: Counter[str] = Counter()
    small: dict[str, mx.array] = {}
    placed: set[str] = set()
    small_dtype = _small_dtypes(network)
    if "output.weight" not in places and "lm_head" in network:
        network.sanitize({})  # some families tie the head to the embedding only when they see this
    for name, place in places.items():
        tensor = gguf.tensors[name]
        paths = place.halves or (place.path,)
        layer = find_module(network, paths[0].rpartition(".")[0])
        if place.path.endswith(".weight") and has_matrices(layer):
            _place_stored(network, gguf, name, place)
            formats[tensor.quantization] += tensor.num_parameters
        else:
            small[place.path] = _small_array(gguf, name, place).astype(small_dtype(place.path))
        placed.update(paths)
    place_arrays(network, small)
    check_complete(network, placed)
    mx.eval(network.parameters())
    return WeightSummary(
        sum(gguf.tensors[name].num_bytes for name in places),
        sum(gguf.tensors[name].num_parameters for name in places),
        formats.most_common(1)[0][0],
    )


def _place_stored(network: nn.Module, gguf: GGUFFile, name: str, place: Place) -> None:
    """A matrix or a stack of them, as its blocks are stored."""
    tensor, blocks = _stored_blocks(gguf, name, place)
    path = place.path.removesuffix(".weight")
    num_columns = tensor.shape[-1]
    if len(tensor.shape) > 2:
        stacked = blocks.reshape(-1, tensor.shape[-2], blocks.shape[-1])
        paths = [half.removesuffix(".weight") for half in place.halves] or [path]
        for part_path, part in zip(paths, np.split(stacked, len(paths), axis=1), strict=True):
            stack = grouped.load_blocks(tensor.quantization, part, num_columns)
            place_stack(network, part_path, stack)
    else:
        matrix = quantized.load_blocks(tensor.quantization, blocks, num_columns)
        place_matrix(network, path, matrix)


def _small_array(gguf: GGUFFile, name: str, place: Place) -> mx.array:
    """float32"""
    tensor, blocks = _stored_blocks(gguf, name, place)
    num_columns = 1 if len(tensor.shape) == 1 and blocks.shape[0] > 1 else tensor.shape[-1]
    flat = quantized.load_blocks(tensor.quantization, blocks, num_columns)
    return quantized.dequantize(flat).reshape(tensor.shape) + place.offset


def _stored_blocks(gguf: GGUFFile, name: str, place: Place) -> tuple[TensorInfo, NDArray[np.uint8]]:
    """Blocks uint8 [rows, row_bytes] in the order the network wants."""
    tensor, blocks = gguf.tensors[name], gguf.tensor_bytes(name)
    if tensor.quantization not in quantized.GGUF_QUANTIZATIONS:
        known = ", ".join(sorted(quantized.GGUF_QUANTIZATIONS))
        raise Unsupported(
            f"{tensor.name} is stored as {tensor.quantization}, which nothing here reads",
            hint=f"known formats: {known}",
        )
    if place.row_order is not None:
        blocks = blocks.reshape(tensor.shape[0], -1)[place.row_order]
    return tensor, blocks


def _small_dtypes(network: nn.Module) -> Callable[[str], mx.Dtype]:
    """The type of a small array by its path: a family may want some of them in float32."""
    may_cast = getattr(network, "cast_predicate", None) or (lambda _path: True)
    return lambda path: activation_dtype() if may_cast(path) else mx.float32


def read_directory_arrays(directory: Path) -> dict[str, mx.array]:
    """Every array of a directory's safetensors, by name, read when it is first used.

    Raises:
        NotFound: there are none.
    """
    paths = sorted(directory.glob("model*.safetensors"))
    if not paths:
        raise NotFound(
            f"{directory}: no model*.safetensors",
            hint="an MLX model directory has its weights there",
        )
    arrays: dict[str, mx.array] = {}
    for path in paths:
        arrays.update(cast(dict[str, mx.array], mx.load(str(path))))
    return arrays


def _matrix_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, module in network.named_modules():
        if has_matrices(module):
            yield path, module


def _take_matrix(
    path: str, arrays: dict[str, mx.array], quantization: Mapping[str, Any]
) -> QuantizedMatrix | MatrixStack:
    """Remove one layer's arrays from `arrays` and make them a matrix, or a stack of them."""
    weight = arrays.pop(f"{path}.weight", None)
    if weight is None:
        raise InvalidModelFile(f"the file lacks weights: {path}.weight")
    scales = arrays.pop(f"{path}.scales", None)
    if scales is None:
        return _dense_matrix(path, weight)
    own = quantization.get(path)
    settings = own if isinstance(own, dict) else quantization
    bits, group_size = int(settings.get("bits", 0)), int(settings.get("group_size", 0))
    mode = settings.get("mode", "affine")
    if mode != "affine":
        raise Unsupported(f"{path}: quantization mode {mode!r}; only 'affine' is known here")
    if bits not in AFFINE_BITS or group_size not in AFFINE_GROUP_SIZES:
        raise InvalidModelFile(
            f"{path}: {bits} bits in groups of {group_size}; "
            f"bits must be one of {AFFINE_BITS}, groups one of {AFFINE_GROUP_SIZES}"
        )
    biases = arrays.pop(f"{path}.biases")
    load_affine = quantized.load_affine if weight.ndim == 2 else grouped.load_affine
    return load_affine(weight, scales, biases, group_size=group_size, bits=bits)


def _dense_matrix(path: str, weight: mx.array) -> QuantizedMatrix | MatrixStack:
    if weight.ndim not in (2, 3) or weight.dtype not in DENSE_NAMES:
        raise InvalidModelFile(f"{path}: a {weight.ndim}-dimensional {weight.dtype} weight")
    data = np.array(weight.view(mx.uint8), copy=False)
    load_blocks = quantized.load_blocks if weight.ndim == 2 else grouped.load_blocks
    return load_blocks(DENSE_NAMES[weight.dtype], data, weight.shape[-1])


def read_config(directory: Path) -> dict[str, Any]:
    """The `config.json` of an MLX directory.

    Raises:
        NotFound, InvalidModelFile: it is missing or not a JSON object with a model type.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file", hint="an MLX model directory has one") from None
    except (ValueError, RecursionError) as error:
        raise InvalidModelFile(f"{path}: not JSON: {error}") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise InvalidModelFile(f"{path}: no 'model_type' in it")
    return config

"""Puts a GGUF file's weights into a module tree.

A matrix stays as its file stores it and becomes a layer of ours in the place of the network's own;
norms, biases and other small things become plain arrays in the activations' type.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from engine.network.gguf_names import Place
from engine.network.placing import (
    check_complete,
    find_module,
    is_kept_as_stored,
    place_arrays,
    place_matrix,
    place_stack,
)
from engine.network.precision import activation_dtype
from metal_kernels import grouped, quantized
from metal_kernels.converted_blocks import convert_blocks
from models.errors import Unsupported
from models.fit import total_memory_bytes
from models.formats.conversions import loaded_formats
from models.formats.gguf import GGUFFile, TensorInfo


@dataclass(frozen=True)
class WeightSummary:
    """What was loaded."""

    num_bytes: int
    num_parameters: int
    quantization: str
    """The format most weights are in."""


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
    small_dtype = small_dtypes(network)
    targets = loaded_formats((gguf.tensors[name] for name in places), total_memory_bytes())
    if "output.weight" not in places and "lm_head" in network:
        network.sanitize({})  # some families tie the head to the embedding only when they see this
    for name, place in places.items():
        tensor = gguf.tensors[name]
        paths = _parameter_paths(place, tensor)
        layer = find_module(network, paths[0].rpartition(".")[0])
        if place.path.endswith(".weight") and is_kept_as_stored(paths[0], layer):
            _place_stored(network, gguf, name, place, targets)
            formats[tensor.quantization] += tensor.num_parameters
        else:
            array = _small_array(gguf, name, place, targets)
            if isinstance(layer, nn.Conv1d) and place.path.endswith(".weight"):
                array = array[..., None]  # of one channel, which files leave out
            if place.has_loose_shape:
                array = _in_shape_of(layer.get(place.path.rpartition(".")[2]), array)
            small[place.path] = array.astype(small_dtype(place.path))
        placed.update(paths)
    place_arrays(network, small)
    check_complete(network, placed)
    mx.eval(network.parameters())
    return WeightSummary(
        sum(gguf.tensors[name].num_bytes for name in places),
        sum(gguf.tensors[name].num_parameters for name in places),
        formats.most_common(1)[0][0],
    )


def _parameter_paths(place: Place, tensor: TensorInfo) -> tuple[str, ...]:
    """What becomes of one tensor: a parameter, two halves, or one for each of a list's items."""
    if "*" in place.path:
        return tuple(place.path.replace("*", str(item)) for item in range(tensor.shape[0]))
    return place.halves or (place.path,)


def _place_stored(
    network: nn.Module, gguf: GGUFFile, name: str, place: Place, targets: Mapping[str, str]
) -> None:
    """A matrix or a stack of them, as its blocks are stored or converted."""
    tensor, blocks = _stored_blocks(gguf, name, place, targets)
    num_columns = tensor.shape[-1]
    paths = [path.removesuffix(".weight") for path in _parameter_paths(place, tensor)]
    if len(tensor.shape) > 2 and "*" not in place.path:
        stacked = blocks.reshape(-1, tensor.shape[-2], blocks.shape[-1])
        for part_path, part in zip(paths, np.split(stacked, len(paths), axis=1), strict=True):
            stack = grouped.load_blocks(tensor.quantization, part, num_columns)
            place_stack(network, part_path, stack)
    else:
        for part_path, part in zip(paths, np.split(blocks, len(paths)), strict=True):
            matrix = quantized.load_blocks(tensor.quantization, part, num_columns)
            place_matrix(network, part_path, matrix)


def _small_array(gguf: GGUFFile, name: str, place: Place, targets: Mapping[str, str]) -> mx.array:
    """float32"""
    tensor, blocks = _stored_blocks(gguf, name, place, targets)
    num_columns = 1 if len(tensor.shape) == 1 and blocks.shape[0] > 1 else tensor.shape[-1]
    flat = quantized.load_blocks(tensor.quantization, blocks, num_columns)
    array = quantized.dequantize(flat).reshape(tensor.shape) + place.offset
    return place.value(array) if place.value else array


def _in_shape_of(parameter: mx.array | None, array: mx.array) -> mx.array:
    """Left alone where it cannot be: `place_arrays` will refuse it by name."""
    if parameter is None or parameter.size != array.size:
        return array
    return array.reshape(parameter.shape)


def _stored_blocks(
    gguf: GGUFFile, name: str, place: Place, targets: Mapping[str, str]
) -> tuple[TensorInfo, NDArray[np.uint8]]:
    """Blocks uint8 [rows, row_bytes] in the order the network wants, of a format with a kernel."""
    tensor, blocks = gguf.tensors[name], gguf.tensor_bytes(name)
    target = targets.get(name, tensor.quantization)
    if target not in quantized.GGUF_QUANTIZATIONS:
        known = ", ".join(sorted(quantized.GGUF_QUANTIZATIONS))
        raise Unsupported(
            f"{tensor.name} is stored as {tensor.quantization}, which nothing here reads",
            hint=f"known formats: {known}",
        )
    if target != tensor.quantization:
        blocks = convert_blocks(tensor.quantization, target, blocks, tensor.shape[-1])
        tensor = replace(tensor, quantization=target)
    if place.row_order is not None:
        blocks = blocks.reshape(tensor.shape[0], -1)[place.row_order]
    return tensor, blocks


def small_dtypes(network: nn.Module) -> Callable[[str], mx.Dtype]:
    """The type of a small array by its path: a family may want some of them in float32."""
    may_cast = getattr(network, "cast_predicate", None) or (lambda _path: True)
    return lambda path: activation_dtype() if may_cast(path) else mx.float32

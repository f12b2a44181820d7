"""Puts matrices, stacks of them and small arrays into the places of a network's own parameters."""

from collections.abc import Mapping
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.utils

from engine.network.layers import QuantizedEmbedding, QuantizedLinear
from engine.network.precision import activation_dtype
from engine.network.stacked_layers import (
    QuantizedMultiLinear,
    QuantizedSwitchLinear,
    is_stacked,
)
from metal_kernels.grouped import MatrixStack
from metal_kernels.quantized import QuantizedMatrix
from models.errors import InvalidModelFile

OPTIONAL = (
    ".e_score_correction_bias",
    ".act_fn.alpha_n",
    ".act_fn.alpha_p",
    ".act_fn.beta",
    ".act_fn.eps",
)
"""Ends of parameters that a file may leave out: zeros, or set when the network is built."""


def has_matrices(layer: object) -> bool:
    """Whether the layer's weight is kept as stored: a matrix or a stack of them.

    A family's own kind of linear layer is left to it.
    """
    return type(layer) in (nn.Linear, nn.Embedding) or is_stacked(layer)


_READ_BY_FAMILY = ("prediction_coefs", "correction_coefs")
"""Layers whose family takes their weight in its own hands (Gemma 3n)."""


def is_kept_as_stored(path: str, layer: object) -> bool:
    """Whether a matrix stays as its file has it, in a layer of ours.

    `path` is that of the layer or of its weight.
    """
    return has_matrices(layer) and not path.removesuffix(".weight").endswith(_READ_BY_FAMILY)


def place_matrix(network: nn.Module, path: str, matrix: QuantizedMatrix) -> None:
    """Put a matrix in the place of the linear or embedding layer at `path`.

    Raises:
        InvalidModelFile: the network has no such layer, or one of another shape.
    """
    layer = find_module(network, path)
    expected = layer.weight.shape
    if (matrix.num_rows, matrix.num_columns) != tuple(expected):
        raise InvalidModelFile(
            f"{path}: the file has {matrix.num_rows} x {matrix.num_columns} weights, "
            f"its configuration says {' x '.join(map(str, expected))}"
        )
    stored: nn.Module
    if isinstance(layer, nn.Embedding):
        stored = QuantizedEmbedding(matrix, activation_dtype())
    else:
        stored = QuantizedLinear(matrix, layer.bias if "bias" in layer else None)
    put_module(network, path, stored)


def place_stack(network: nn.Module, path: str, stack: MatrixStack) -> None:
    """Put a stack in the place of the stacked layer at `path`.

    Raises:
        InvalidModelFile: the network has no such layer, or one of another shape.
    """
    layer = find_module(network, path)
    shape = (stack.num_matrices, stack.num_rows, stack.num_columns)
    if not is_stacked(layer) or tuple(layer.weight.shape) != shape:
        expected = layer.weight.shape if is_stacked(layer) else ("one matrix",)
        raise InvalidModelFile(
            f"{path}: the file has {' x '.join(map(str, shape))} weights, "
            f"its configuration says {' x '.join(map(str, expected))}"
        )
    stored: nn.Module
    if type(layer).__name__ == "MultiLinear":
        stored = QuantizedMultiLinear(stack)
    else:
        stored = QuantizedSwitchLinear(stack, layer.bias if "bias" in layer else None)
    put_module(network, path, stored)


def put_module(network: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module in the place of the one at a dotted path."""
    parent_path, _, name = path.rpartition(".")
    parent = find_module(network, parent_path)
    parent[int(name) if isinstance(parent, list) else name] = module


def find_module(network: nn.Module, path: str) -> Any:
    """The module or list item at a dotted path; the network itself at the empty one."""
    found: Any = network
    for part in path.split(".") if path else ():
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, ValueError):
            raise InvalidModelFile(f"the network has no {path!r}; the file's weights do") from None
    return found


def place_arrays(network: nn.Module, arrays: Mapping[str, mx.array]) -> None:
    """Set small parameters by path.

    Raises:
        InvalidModelFile: one of them is not the network's, or has another shape.
    """
    known = _flat_parameters(network)
    for path, array in arrays.items():
        if path not in known:
            raise InvalidModelFile(f"the network has no parameter {path!r}; the file does")
        if known[path].shape != array.shape:
            raise InvalidModelFile(
                f"{path}: the file has shape {array.shape}, the network {known[path].shape}"
            )
    network.update(mlx.utils.tree_unflatten(list(arrays.items())))


def _flat_parameters(network: nn.Module) -> dict[str, mx.array]:
    return cast(dict[str, mx.array], mlx.utils.tree_flatten(network.parameters(), destination={}))


def check_complete(network: nn.Module, placed: set[str]) -> None:
    """Refuse a file that left a parameter at its random initial value.

    Raises:
        InvalidModelFile: with the first few missing names.
    """
    unplaced = _flat_parameters(network).keys() - placed
    missing = sorted(path for path in unplaced if not path.endswith(OPTIONAL))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InvalidModelFile(f"the file lacks weights: {', '.join(missing[:3])}{more}")

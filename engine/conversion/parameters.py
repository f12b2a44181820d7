"""A model's parameters as its network has them, whatever the file: what directories are made of."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import mlx.core as mx

from engine.conversion.source import MAX_SLAB_WEIGHTS, WeightSource
from engine.network.directory_weights import (
    as_the_network_names,
    read_directory_arrays,
    read_quantization,
)
from engine.network.gguf_names import Place
from engine.network.mlx_matrices import FLOAT_MODES
from engine.network.model_facts import with_old_names
from engine.network.zoo import build_network
from metal_kernels import reference
from models.errors import Unsupported

DTYPES = {"F16": mx.float16, "BF16": mx.bfloat16, "F32": mx.float32}
"""MLX's types by the names of safetensors."""


@dataclass(frozen=True)
class Parameter:
    """One array of a network.

    `read` gives it in slabs: float [rows, K], the product of all dimensions but the last in rows;
    a vector in one slab [K].
    """

    path: str
    shape: tuple[int, ...]
    stored: str
    """Its format in the file, such as "Q8_0" or "affine4_g64"."""
    read: Callable[[], Iterator[mx.array]]

    @property
    def is_matrix(self) -> bool:
        """Two dimensions, or three with experts."""
        return len(self.shape) >= 2

    @property
    def num_parameters(self) -> int:
        """Weights in it."""
        return prod(self.shape)


def prevailing_dtype(parameters: Sequence[Parameter]) -> str:
    """The type that dense parts of a model are in: F16 for one that is quantized."""
    counts: Counter[str] = Counter()
    for parameter in parameters:
        if parameter.is_matrix:
            counts[parameter.stored] += parameter.num_parameters
    found = counts.most_common(1)[0][0] if counts else "F16"
    return found if found in DTYPES else "F16"


def gguf_parameters(source: WeightSource, places: Mapping[str, Place]) -> list[Parameter]:
    """The parameters of a model in GGUF form.

    Raises:
        Unsupported: a tensor's format is one that nothing here can read.
    """
    found = []
    for name, place in places.items():
        tensor = source.tensors[name]
        if not place.is_plain:
            raise Unsupported(f"{name}: this architecture cannot be made into a directory yet")
        if not reference.can_dequantize(tensor.quantization):
            raise Unsupported(f"{name} is stored as {tensor.quantization}: nothing here reads that")
        read = partial(_read_tensor, source, name, place)
        is_convolution = name.endswith("shortconv.conv.weight")
        shape = (*tensor.shape, 1) if is_convolution else tensor.shape  # of one channel each
        found.append(Parameter(place.path, shape, tensor.quantization, read))
    return found


def _read_tensor(source: WeightSource, name: str, place: Place) -> Iterator[mx.array]:
    tensor = source.tensors[name]
    blocks = source.tensor_bytes(name)
    if place.row_order is not None:
        blocks = blocks.reshape(tensor.shape[0], -1)[place.row_order]
    if len(tensor.shape) == 1:
        values = reference.dequantize_blocks(
            tensor.quantization, blocks.reshape(1, -1), tensor.shape[0]
        )
        yield mx.array(values[0]) + place.offset
        return
    num_columns = tensor.shape[-1]
    for start in range(0, len(blocks), _rows_at_once(num_columns)):
        rows = blocks[start : start + _rows_at_once(num_columns)]
        yield mx.array(reference.dequantize_blocks(tensor.quantization, rows, num_columns))


def _rows_at_once(num_columns: int) -> int:
    return max(1, MAX_SLAB_WEIGHTS // num_columns)


def directory_parameters(directory: Path, config: Mapping[str, Any]) -> list[Parameter]:
    """The parameters of a safetensors directory, Hugging Face's or MLX's, of any family of the zoo.

    Arrays are read when their turn comes, and once.
    """
    network = build_network(with_old_names(config))
    arrays = read_directory_arrays(directory)
    if "text_config" in config:
        arrays = _text_arrays(arrays)
    arrays = as_the_network_names(network, arrays)
    settings = read_quantization(config)
    found = []
    for path, array in list(arrays.items()):
        module, _, kind = path.rpartition(".")
        if kind in ("scales", "biases") and f"{module}.scales" in arrays:
            continue
        if kind == "weight" and f"{module}.scales" in arrays:
            own = settings.get(module)
            settings_here = own if isinstance(own, dict) else settings
            found.append(_quantized_parameter(arrays, module, settings_here))
        else:
            read = partial(_read_array, arrays, path)
            found.append(Parameter(path, array.shape, dtype_name(array.dtype), read))
    return found


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The language model's part of a configuration that has others (images) beside it."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else dict(config)


def _text_arrays(arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    """The language model's arrays under the names they have where it stands alone."""
    prefixes = ("model.language_model.", "language_model.")
    if not any(name.startswith(prefixes) for name in arrays):
        return arrays
    found = {}
    for name, array in arrays.items():
        if name.startswith("model.language_model."):
            found["model." + name.removeprefix("model.language_model.")] = array
        elif name.startswith("language_model.") or name == "lm_head.weight":
            found[name.removeprefix("language_model.")] = array
    return found


def dtype_name(dtype: mx.Dtype) -> str:
    """As safetensors names it.

    Raises:
        Unsupported: not a type of weights.
    """
    for name, known in DTYPES.items():
        if dtype == known:
            return name
    raise Unsupported(f"weights of type {dtype}; F16, BF16 and F32 are known")


def _read_array(arrays: dict[str, mx.array], path: str) -> Iterator[mx.array]:
    array = arrays.pop(path)
    if array.ndim < 2:
        yield array
        return
    yield from _slabs(array.reshape(-1, array.shape[-1]))


def _slabs(rows: mx.array) -> Iterator[mx.array]:
    for start in range(0, rows.shape[0], _rows_at_once(rows.shape[-1])):
        yield rows[start : start + _rows_at_once(rows.shape[-1])]


def _quantized_parameter(
    arrays: dict[str, mx.array], module: str, settings: Mapping[str, Any]
) -> Parameter:
    bits, group_size = int(settings.get("bits", 0)), int(settings.get("group_size", 0))
    mode = str(settings.get("mode", "affine"))
    if mode not in ("affine", *FLOAT_MODES) or not bits:
        raise Unsupported(f"{module}: quantized in the mode {mode!r}, which nothing here converts")
    shape = arrays[f"{module}.weight"].shape
    dense = (*shape[:-1], shape[-1] * 32 // bits)

    def read() -> Iterator[mx.array]:
        kinds = ("weight", "scales", "biases") if mode == "affine" else ("weight", "scales")
        parts = [arrays.pop(f"{module}.{kind}") for kind in kinds]
        flat = [part.reshape(-1, part.shape[-1]) for part in parts]
        for start in range(0, flat[0].shape[0], _rows_at_once(dense[-1])):
            rows = [part[start : start + _rows_at_once(dense[-1])] for part in flat]
            codes, scales, *biases = rows
            bias = biases[0] if biases else None
            yield mx.dequantize(codes, scales, bias, group_size, bits, mode=mode)

    stored = f"affine{bits}_g{group_size}" if mode == "affine" else mode
    return Parameter(f"{module}.weight", dense, stored, read)

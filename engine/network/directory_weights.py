"""Puts the weights of an MLX or Hugging Face directory into a module tree.

Matrices stay as their files store them, in layers of ours; a family's own kinds of linear layers
become MLX's quantized ones; norms, biases and other small things become plain arrays.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn

from engine.network.mlx_matrices import find_packing, take_matrix
from engine.network.placing import (
    check_complete,
    is_kept_as_stored,
    place_arrays,
    place_matrix,
    place_stack,
)
from engine.network.precision import activation_dtype
from engine.network.weights import WeightSummary, small_dtypes
from metal_kernels.grouped import MatrixStack
from models.errors import InvalidModelFile, NotFound, Unsupported

_FOREIGN_METHODS = ("awq", "gptq", "bitsandbytes", "hqq", "quanto", "aqlm", "eetq", "bitnet")


def load_directory_weights(
    network: nn.Module, directory: Path, config: Mapping[str, Any]
) -> WeightSummary:
    """Load a directory's safetensors into the network.

    Raises:
        NotFound: there are no weights.
        InvalidModelFile: they do not fit the configuration.
        Unsupported: they are quantized in a way that nothing here reads.
    """
    quantization = read_quantization(config)
    arrays = read_directory_arrays(directory)
    summary_bytes = sum(array.nbytes for array in arrays.values())
    arrays = as_the_network_names(network, arrays)
    _quantize_own_layers(network, arrays, quantization)
    formats: Counter[str] = Counter()
    placed: set[str] = set()
    for path, layer in _matrix_layers(network):
        label, matrix = take_matrix(path, arrays, quantization, layer.weight.shape[-1])
        bias = arrays.pop(f"{path}.bias", None)
        if bias is not None:
            layer.bias = bias.astype(activation_dtype())
            placed.add(f"{path}.bias")
        if isinstance(matrix, MatrixStack):
            place_stack(network, path, matrix)
        else:
            place_matrix(network, path, matrix)
        formats[label] += matrix.num_parameters
    small = _small_arrays(network, arrays)
    place_arrays(network, small)
    check_complete(network, placed | set(small))
    mx.eval(network.parameters())
    num_parameters = sum(formats.values()) + sum(array.size for array in small.values())
    name = formats.most_common(1)[0][0] if formats else "dense"
    return WeightSummary(summary_bytes, num_parameters, name)


def as_the_network_names(network: nn.Module, arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    """Published arrays under the network's names, with experts stacked, as its family does it."""
    arrays = _with_split_experts(arrays)
    if not hasattr(network, "sanitize"):
        return arrays
    return cast(dict[str, mx.array], network.sanitize(arrays))


def _with_split_experts(arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    """gpt-oss as transformers keeps it dense: [experts, inputs, outputs], gates and ups in turn.

    mlx-lm knows its packed form alone.
    """
    if not any(name.endswith(".experts.gate_up_proj") for name in arrays):
        return arrays
    found: dict[str, mx.array] = {}
    for name, array in arrays.items():
        module, _, kind = name.rpartition(".")
        if kind == "gate_up_proj":
            rows = array.swapaxes(-1, -2)
            found[f"{module}.gate_proj.weight"] = rows[:, ::2]
            found[f"{module}.up_proj.weight"] = rows[:, 1::2]
        elif kind == "gate_up_proj_bias":
            found[f"{module}.gate_proj.bias"] = array[:, ::2]
            found[f"{module}.up_proj.bias"] = array[:, 1::2]
        elif module.endswith(".experts") and kind.startswith("down_proj"):
            is_bias = kind == "down_proj_bias"
            named = "bias" if is_bias else "weight"
            found[f"{module}.down_proj.{named}"] = array if is_bias else array.swapaxes(-1, -2)
        else:
            found[name] = array
    return found


def read_quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the weights are quantized, by layer where a layer differs; empty where they are not.

    Raises:
        Unsupported: the weights are packed as another program does.
    """
    text = config.get("text_config")
    places = (config, text) if isinstance(text, Mapping) else (config,)
    for name in ("quantization", "quantization_config"):
        for place in places:
            found = place.get(name)
            if isinstance(found, Mapping):
                return _mlx_settings(found)
    return {}


def _mlx_settings(found: Mapping[str, Any]) -> Mapping[str, Any]:
    method = str(found.get("quant_method", "")).lower()
    if method in _FOREIGN_METHODS:
        raise Unsupported(
            f"the weights are packed by {method}, which nothing here reads",
            hint="take the original, an MLX conversion or a GGUF file of the model",
        )
    if "bits" not in found and method in ("mxfp4", "mxfp8"):
        return {"bits": 4 if method == "mxfp4" else 8, "group_size": 32, "mode": method}
    return found


def _quantize_own_layers(
    network: nn.Module, arrays: Mapping[str, mx.array], quantization: Mapping[str, Any]
) -> None:
    """Let layers that are kept as the family has them take the weights as they are stored."""

    def packing(path: str, layer: nn.Module) -> bool | dict[str, Any]:
        scales = arrays.get(f"{path}.scales")
        if scales is None or is_kept_as_stored(path, layer) or not hasattr(layer, "to_quantized"):
            return False
        weight = arrays[f"{path}.weight"]
        return find_packing(path, quantization, weight, scales, layer.weight.shape[-1])._asdict()

    nn.quantize(network, class_predicate=packing)


def _small_arrays(network: nn.Module, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
    small_dtype = small_dtypes(network)
    return {
        path: array.astype(small_dtype(path)) if mx.issubdtype(array.dtype, mx.floating) else array
        for path, array in arrays.items()
    }


def _matrix_layers(network: nn.Module) -> list[tuple[str, Any]]:
    return [
        (path, module)
        for path, module in network.named_modules()
        if is_kept_as_stored(path, module)
    ]


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

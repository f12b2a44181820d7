"""A directory of safetensors, Hugging Face's or MLX's, in the form of a GGUF file."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from engine.conversion.gguf_metadata import find_architecture, make_metadata
from engine.conversion.latent import split_latent
from engine.conversion.parameters import (
    DTYPES,
    Parameter,
    directory_parameters,
    prevailing_dtype,
    text_config,
)
from engine.conversion.rope_metadata import head_dim as find_head_dim
from engine.conversion.rope_metadata import rope_tensors
from engine.conversion.vocabulary_metadata import vocabulary_metadata
from engine.network.directory_weights import read_config
from engine.network.gguf_names import Place, find_place, tensor_name
from models.errors import InvalidModelFile
from models.formats.gguf import TensorInfo, Value
from models.formats.gguf_writer import encode_value

_ALWAYS_F32 = (
    ".bias",
    "ffn_gate_inp.weight",
    "ffn_gate_inp_shexp.weight",
    "shortconv.conv.weight",
)


class DirectorySource:
    """What a `GGUFFile` offers conversions, from other files; each tensor can be read once.

    Raises:
        Unsupported: the architecture, or its tokenizer, has no form in GGUF.
        NotFound, InvalidModelFile: files are missing or damaged.
    """

    def __init__(self, directory: Path) -> None:
        config = text_config(read_config(directory))
        config["head_dim"] = find_head_dim(config)
        config.setdefault("num_key_value_heads", config["num_attention_heads"])
        self.architecture = find_architecture(config)
        metadata = make_metadata(config, directory.resolve().name)
        self.metadata: dict[str, Value] = metadata | vocabulary_metadata(directory, config)
        self._parameters: dict[str, Parameter] = {}
        self._places: dict[str, Place] = {}
        self._rope_tensors = rope_tensors(config)
        self.tensors = self._list_tensors(directory, config)

    def _list_tensors(self, directory: Path, config: dict[str, Any]) -> dict[str, TensorInfo]:
        parameters = split_latent(directory_parameters(directory, config), config)
        self.dtype = prevailing_dtype(parameters)
        item_bytes = DTYPES[self.dtype].size
        tensors = {}
        for parameter in parameters:
            if parameter.path == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            name = tensor_name(parameter.path, self.architecture)
            self._parameters[name] = parameter
            self._places[name] = find_place(name, self.architecture, config)
            small = not parameter.is_matrix or name.endswith(_ALWAYS_F32)
            size = parameter.num_parameters * (4 if small else item_bytes)
            dtype = "F32" if small else self.dtype
            tensors[name] = TensorInfo(name, dtype, _shape(name, parameter), size)
        for name, factors in self._rope_tensors.items():
            tensors[name] = TensorInfo(name, "F32", factors.shape, factors.nbytes)
        return tensors

    @property
    def names(self) -> dict[str, str]:
        """The tensor of each parameter, by its path in the network."""
        return {parameter.path: name for name, parameter in self._parameters.items()}

    def metadata_bytes(self, key: str) -> bytes:
        """See `WeightSource`."""
        return encode_value(self.metadata[key])

    def tensor_bytes(self, name: str) -> np.ndarray:
        """See `WeightSource`."""
        if name in self._rope_tensors:
            return self._rope_tensors[name].view(np.uint8)[None]
        tensor, place = self.tensors[name], self._places[name]
        slabs = self._parameters[name].read()
        dtype = DTYPES[tensor.quantization]
        if place.offset:
            slabs = (slab.astype(mx.float32) - place.offset for slab in slabs)
        rows = np.concatenate([_as_bytes(slab, dtype, name) for slab in slabs])
        if place.row_order is not None:
            rows = rows.reshape(tensor.shape[0], -1)[np.argsort(place.row_order)]
        return rows.reshape(-1, tensor.num_bytes // (tensor.num_parameters // tensor.shape[-1]))


def _shape(name: str, parameter: Parameter) -> tuple[int, ...]:
    """A convolution of one channel each is a matrix in GGUF."""
    return parameter.shape[:-1] if name.endswith("shortconv.conv.weight") else parameter.shape


def _as_bytes(slab: mx.array, dtype: mx.Dtype, name: str) -> np.ndarray:
    """uint8 [rows, row_bytes] of a slab, or [bytes] of a vector."""
    values = slab.astype(dtype)
    if not mx.isfinite(values).all().item():
        raise InvalidModelFile(f"{name}: has weights that are not finite numbers in {dtype}")
    return np.array(values.view(mx.uint8))

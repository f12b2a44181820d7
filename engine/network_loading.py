"""Files to a network with its weights and its text side, before any cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.nn as nn

from engine.kernels import StoredMatrix, check_metal_kernels
from engine.network.directory_weights import load_directory_weights, read_config
from engine.network.gguf_config import config_from_gguf
from engine.network.gguf_names import Place, module_paths
from engine.network.lora import load_adapter
from engine.network.model_facts import with_common_names, with_old_names
from engine.network.weights import WeightSummary, load_gguf_weights
from engine.network.zoo import build_network
from engine.text.chat_template import ChatTemplate
from engine.text.template_loading import load_directory_template, load_gguf_template
from engine.tokenizer import Tokenizer, load_gguf_tokenizer, load_tokenizer_directory
from models.files import ModelFiles
from models.formats.gguf import GGUFFile, read_gguf


@dataclass(frozen=True)
class LoadedNetwork:
    """The network and its text side, before any cache: what training needs too."""

    network: nn.Module
    config: dict[str, Any]
    tokenizer: Tokenizer
    chat_template: ChatTemplate
    weights: WeightSummary


def load_network(
    files: ModelFiles, adapter: Path | None = None, kernel_checks: Path | None = None
) -> LoadedNetwork:
    """Network, weights and text side of a model, with a LoRA adapter on top where one is given."""
    load = _load_gguf if files.format == "gguf" else _load_directory
    loaded = load(files, kernel_checks)
    if adapter is not None:
        load_adapter(loaded.network, loaded.config, adapter)
    return loaded


def _load_gguf(files: ModelFiles, kernel_checks: Path | None) -> LoadedNetwork:
    gguf = read_gguf(files.paths[0])
    config = config_from_gguf(gguf)
    places = module_paths(gguf, config)
    if kernel_checks is not None:
        check_metal_kernels(config, _stored_matrices(gguf, places), kernel_checks)
    network = build_network(config)
    weights = load_gguf_weights(network, gguf, places)
    tokenizer = load_gguf_tokenizer(gguf)
    template = load_gguf_template(gguf, files.template)
    return LoadedNetwork(network, config, tokenizer, template, weights)


def _stored_matrices(gguf: GGUFFile, places: Mapping[str, Place]) -> dict[str, StoredMatrix]:
    """The file's matrices, by the path of the layer that each belongs to."""
    tensors = {place.path: gguf.tensors[name] for name, place in places.items()}
    return {
        path.rpartition(".")[0]: StoredMatrix(
            tensor.quantization, tensor.shape[-2], is_stack=len(tensor.shape) == 3
        )
        for path, tensor in tensors.items()
        if len(tensor.shape) in (2, 3)
    }


def _load_directory(files: ModelFiles, kernel_checks: Path | None) -> LoadedNetwork:
    assert files.directory is not None
    config = read_config(files.directory)
    if kernel_checks is not None:
        check_metal_kernels(with_common_names(config), {}, kernel_checks)
    network = build_network(with_old_names(config))
    config = with_common_names(config)
    weights = load_directory_weights(network, files.directory, config)
    tokenizer = load_tokenizer_directory(files.directory)
    template = load_directory_template(files.directory, files.template)
    return LoadedNetwork(network, config, tokenizer, template, weights)

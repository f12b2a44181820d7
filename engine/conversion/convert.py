"""From a model's files to other files of it: the one entry for the commands."""

from functools import partial
from pathlib import Path
from typing import Literal

from engine.conversion.directory_source import DirectorySource
from engine.conversion.experts import split_experts
from engine.conversion.mixes import DENSE
from engine.conversion.parameters import (
    Parameter,
    directory_parameters,
    gguf_parameters,
    prevailing_dtype,
)
from engine.conversion.quantize import Importance, quantize_to_gguf
from engine.conversion.source import WeightSource
from engine.conversion.to_directory import Layout, check_hugging_face, to_directory
from engine.conversion.types import Affine
from engine.conversion.vocabulary_files import special_token_ids, tokenizer_files
from engine.network.directory_weights import read_config
from engine.network.gguf_config import config_from_gguf
from engine.network.gguf_names import module_paths
from engine.network.gguf_values import Metadata
from models.errors import InvalidInput
from models.files import ModelFiles
from models.formats.gguf import GGUFFile, read_gguf
from models.hub.choose import find_role
from models.store.blobs import read_pieces
from models.store.new_files import NewFile, NewFiles

Target = Literal["gguf", "mlx", "safetensors"]


def open_source(files: ModelFiles) -> WeightSource:
    """The model as GGUF has it, or would have it.

    Raises:
        InvalidModelFile, NotFound, Unsupported: it cannot be read, or has no form in GGUF.
    """
    if files.format == "gguf":
        return read_gguf(files.paths[0])
    assert files.directory is not None
    return DirectorySource(files.directory)


def tensor_names(source: WeightSource) -> dict[str, str]:
    """The tensor of each parameter, by its path in the network."""
    if isinstance(source, DirectorySource):
        return source.names
    assert isinstance(source, GGUFFile)
    places = module_paths(source, config_from_gguf(source))
    return {place.path: name for name, place in places.items()}


def quantize(
    files: ModelFiles,
    wanted: str | Affine,
    *,
    importance: Importance | None = None,
    allow_requantize: bool = False,
) -> NewFiles:
    """The model as a GGUF file of the mix `wanted`, or as an MLX directory.

    Raises:
        InvalidInput: it is quantized already, or MLX was to use an importance matrix.
        InvalidModelFile, NotFound, Unsupported: as `open_source`.
    """
    if isinstance(wanted, str):
        return quantize_to_gguf(
            open_source(files), wanted, importance=importance, allow_requantize=allow_requantize
        )
    if importance is not None:
        raise InvalidInput(
            f"{wanted.label} has no use for an importance matrix",
            hint="The GGUF types have: Q4_K_M and the like.",
        )
    parameters, config, texts = _open_parameters(files)
    layout = Layout(prevailing_dtype(parameters), wanted)
    return to_directory(parameters, config, texts, layout, allow_requantize=allow_requantize)


def convert(files: ModelFiles, target: Target, dtype: str | None = None) -> NewFiles:
    """The model in another format, its weights as `dtype` (F16, BF16, F32; None: as they are).

    Quantized weights become dense.

    Raises:
        InvalidInput: it is of that format already.
        InvalidModelFile, NotFound, Unsupported: as `open_source`.
    """
    assert dtype is None or dtype in DENSE, dtype
    if target == "gguf":
        if files.format == "gguf":
            raise InvalidInput(
                f"{files.name} is a GGUF model already",
                hint="`localllm quantize MODEL F16` changes its type.",
            )
        source = open_source(files)
        assert isinstance(source, DirectorySource)
        return quantize_to_gguf(source, dtype or source.dtype)
    parameters, config, texts = _open_parameters(files)
    if target == "safetensors":
        check_hugging_face(config)
        parameters = split_experts(parameters, str(config["model_type"]))
    layout = Layout(dtype or prevailing_dtype(parameters))
    return to_directory(
        parameters,
        config,
        texts,
        layout,
    )


def _open_parameters(
    files: ModelFiles,
) -> tuple[list[Parameter], dict[str, object], list[NewFile]]:
    """Parameters, configuration, and the files of the tokenizer."""
    if files.format == "gguf":
        file = read_gguf(files.paths[0])
        metadata = Metadata(file.metadata)
        config = config_from_gguf(file) | special_token_ids(metadata)
        texts = tokenizer_files(metadata)
        return gguf_parameters(file, module_paths(file, config)), config, texts
    assert files.directory is not None
    config = read_config(files.directory)
    return directory_parameters(files.directory, config), config, _copied(files.directory)


def _copied(directory: Path) -> list[NewFile]:
    """The tokenizer's files of a directory, as they are."""
    names = {path.name for path in directory.iterdir() if path.is_file()}
    roles = {name: find_role(name, names) for name in sorted(names)}
    return [
        NewFile(name, (directory / name).stat().st_size, partial(read_pieces, directory / name))
        for name, role in roles.items()
        if role in ("config", "tokenizer", "license")
        and name != "config.json"
        and not name.endswith(".index.json")
    ]

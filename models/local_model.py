"""A model that is already on the machine, in whatever place: which files, and what to call it."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.adapters import AdapterFiles, adapter_kind, find_adapter, is_adapter_file
from models.errors import InvalidModelFile, NotFound, UserError
from models.formats.shards import find_shards
from models.hub.choose import NOT_A_MODEL, find_label, find_role
from models.name import DEFAULT_TAG, ModelName
from models.resolve import resolve_path
from models.store.manifest import Kind, Role, Source

Place = Literal["path", "huggingface", "ollama", "lmstudio"]

_SHARD_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_MODEL_CHARS, _MAX_TAG_CHARS = 96, 200


@dataclass(frozen=True)
class LocalFile:
    """One file, where it is, and what it is in the model."""

    role: Role
    file_name: str
    path: Path


@dataclass(frozen=True)
class LocalModel:
    """Files that make up one model. `name` is what the library would call it.

    `notes` are what its user should know before relying on it.
    """

    name: str
    format: Kind
    files: tuple[LocalFile, ...]
    place: Place
    source: Source | None = None
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.path.stat().st_size for file in self.files)

    @property
    def location(self) -> Path:
        """Its first file of weights; an adapter's first file."""
        weights = [file.path for file in self.files if file.role in ("model", "shard")]
        return weights[0] if weights else self.files[0].path


def model_at(path: Path) -> LocalModel:
    """The model or the adapter in a GGUF file, the set of shards around it, or a directory.

    Raises:
        NotFound, InvalidInput, InvalidModelFile: none, several, or one that is not whole.
    """
    if not path.exists():
        raise NotFound(
            f"{path}: no such file or directory",
            hint="`localllm import --scan` lists the models that other programs have here.",
        )
    adapter = _adapter_at(path)
    if adapter is not None:
        stem = path.resolve().name.removesuffix(".gguf")
        name = ModelName.parse(_tidy(stem, _MAX_MODEL_CHARS)).display
        return LocalModel(name, "adapter", adapter_files(adapter), "path")
    files = resolve_path(path)
    if files.format == "gguf":
        stem = _SHARD_SUFFIX.sub("", files.paths[0].name.removesuffix(".gguf"))
        return LocalModel(name_of(stem), "gguf", _gguf_files(files.paths), "path")
    assert files.directory is not None
    name = _tidy(files.directory.resolve().name, _MAX_MODEL_CHARS)
    return LocalModel(ModelName.parse(name).display, "mlx", directory_files(path), "path")


def _adapter_at(path: Path) -> AdapterFiles | None:
    """The adapter that lies there, if no model does."""
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        is_model = "config.json" in names or adapter_kind(names) is None
        return None if is_model else find_adapter(path)
    return find_adapter(path) if is_adapter_file(path) else None


def adapter_files(adapter: AdapterFiles) -> tuple[LocalFile, ...]:
    """Its files as those of a model are listed."""
    return tuple(LocalFile("adapter", path.name, path) for path in adapter.paths)


def models_in(directory: Path, base: str, place: Place) -> tuple[list[LocalModel], list[str]]:
    """Every whole model below a repository's directory, as `base:QUANTIZATION`; and what is not.

    `base` is a name without a tag. A directory of safetensors is `base:latest`.
    """
    found: list[LocalModel] = []
    problems: list[str] = []
    seen: set[Path] = set()
    for path in sorted(directory.rglob("*.gguf")):
        if path in seen or NOT_A_MODEL.search(path.name) or not path.is_file():
            continue
        try:
            shards = find_shards(path)
        except UserError as error:
            problems.append(error.message)
            seen.update(path.parent.glob(f"{_SHARD_SUFFIX.sub('', path.stem)}-*-of-*.gguf"))
            continue
        seen.update(shards)
        stem = _SHARD_SUFFIX.sub("", path.stem)
        tag = _tidy(find_label(stem) or stem, _MAX_TAG_CHARS)
        if any(model.name == f"{base}:{tag}" for model in found):
            tag = _tidy(path.name, _MAX_TAG_CHARS)
        if is_adapter_file(path):
            lone = (LocalFile("adapter", path.name, path),)
            found.append(LocalModel(f"{base}:{tag}", "adapter", lone, place))
            continue
        found.append(LocalModel(f"{base}:{tag}", "gguf", _gguf_files(shards), place))
    if not found and _adapter_at(directory) is not None:
        files = adapter_files(find_adapter(directory))
        return [LocalModel(f"{base}:{DEFAULT_TAG}", "adapter", files, place)], problems
    if not found and (directory / "config.json").is_file() and any(directory.glob("*.safetensors")):
        try:
            files = directory_files(directory)
            found.append(LocalModel(f"{base}:{DEFAULT_TAG}", "mlx", files, place))
        except UserError as error:
            problems.append(error.message)
    return found, problems


def directory_files(directory: Path) -> tuple[LocalFile, ...]:
    """What of a safetensors model's directory loading needs.

    Raises:
        InvalidModelFile: weights that the index names are not there.
    """
    top = sorted(path for path in directory.iterdir() if path.is_file())
    names = {path.name for path in top}
    missing = sorted(_indexed(directory) - names)
    if missing:
        raise InvalidModelFile(
            f"{directory}: {len(missing)} files of weights are missing: {', '.join(missing[:3])}",
            hint="It was not downloaded completely.",
        )
    roles = ((find_role(path.name, names), path) for path in top)
    return tuple(LocalFile(role, path.name, path) for role, path in roles if role is not None)


def name_of(stem: str) -> str:
    """A library name for a GGUF file: its quantization becomes the tag.

    >>> name_of("Llama-3.2-1B-Instruct-Q4_K_M"), name_of("my model")
    ('Llama-3.2-1B-Instruct:Q4_K_M', 'my-model:latest')
    """
    label = find_label(stem)
    model = stem[: stem.rindex(label)] if label else stem
    model = _tidy(model, _MAX_MODEL_CHARS)
    return f"{model}:{label}" if label and model != "model" else f"{_tidy(stem, 96)}:{DEFAULT_TAG}"


def _tidy(text: str, max_chars: int) -> str:
    """`text` with what names cannot have replaced."""
    return _NOT_IN_NAMES.sub("-", text).strip("-.")[:max_chars] or "model"


def _gguf_files(paths: Iterable[Path]) -> tuple[LocalFile, ...]:
    listed = tuple(paths)
    role: Role = "model" if len(listed) == 1 else "shard"
    return tuple(LocalFile(role, path.name, path) for path in listed)


def _indexed(directory: Path) -> set[str]:
    """The files of weights that `model.safetensors.index.json` names, if there is one."""
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModelFile(f"{index}: not an index of weights: {error!r}") from None

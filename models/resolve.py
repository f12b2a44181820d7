"""From what a user calls a model, a library name or a path, to its files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.adapter_bases import how_to_apply
from models.adapters import find_adapter
from models.bundled import BUNDLED_NAME, BUNDLED_PARAMETERS
from models.errors import InvalidInput, InvalidModelFile, NotFound
from models.files import ModelFiles
from models.formats.shards import find_shards
from models.name import ModelName
from models.store.library import Library
from models.store.manifest import Layer, Manifest, Role

__all__ = ["ModelFiles", "adapter_of", "files_of", "resolve", "resolve_adapter", "resolve_path"]

_PATH_STARTS = ("/", "./", "../", "~")
_PATH_ENDS = (".gguf", ".safetensors", "/")


def resolve(text: str, library: Library) -> ModelFiles:
    """The files of the model that `text` calls.

    A library name comes first. Else it is a path: a GGUF file, any shard of one, or a directory
    with config.json and safetensors. Never anything near: a misspelt name is an error.

    Raises:
        NotFound: neither; the hint lists near names and how to pull.
        InvalidInput: not a name and not a path.
        InvalidModelFile: found, but not loadable.
    """
    looks_like_path = text.startswith(_PATH_STARTS) or text in (".", "..")
    if not looks_like_path:
        manifest = _find(text, library)
        if manifest is not None:
            return files_of(manifest, library)
    path = Path(text).expanduser()
    if path.exists():
        return resolve_path(path)
    if looks_like_path or text.endswith(_PATH_ENDS):
        raise NotFound(
            f"{text}: no such file or directory",
            hint="Give a GGUF file, a directory with config.json, or a name from `localllm list`.",
        )
    raise NotFound(f"model '{text}' not found", hint=library.hint_for(ModelName.parse(text)))


def resolve_adapter(text: str, library: Library) -> Path:
    """The directory or the GGUF file of the adapter that `text` calls: a name here, or a path.

    Raises:
        NotFound: neither.
        InvalidInput: something else than an adapter.
    """
    looks_like_path = text.startswith(_PATH_STARTS) or text in (".", "..")
    manifest = None if looks_like_path else _find(text, library)
    if manifest is not None:
        if manifest.format != "adapter":
            raise InvalidInput(f"'{text}' is a model, not an adapter")
        return adapter_of(manifest, library)
    path = Path(text).expanduser()
    if not path.exists() and not looks_like_path and not text.endswith(_PATH_ENDS):
        hint = "`localllm pull` fetches one, `localllm finetune MODEL --output DIR` makes one."
        raise NotFound(f"adapter '{text}' not found", hint=hint)
    find_adapter(path)
    return path.absolute()


def adapter_of(manifest: Manifest, library: Library) -> Path:
    """The directory or the GGUF file of an adapter of the library."""
    assert manifest.format == "adapter"
    found = _adapter_path(library.directory(manifest), manifest.find_layers("adapter"))
    assert found is not None
    return found


def resolve_path(path: Path) -> ModelFiles:
    """The model in a GGUF file or a directory; its name is the path's last part.

    Raises:
        NotFound: a shard is missing.
        InvalidModelFile: no model there.
    """
    if path.is_dir():
        if (path / "config.json").is_file():
            return _from_directory(path)
        path = _only_gguf(path)
    shards = find_shards(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise InvalidModelFile(
            f"{path}: not a GGUF file: it begins with {magic!r} instead of b'GGUF'",
            hint="For safetensors, give the directory that holds config.json.",
        )
    return ModelFiles(path.stem, "gguf", shards, None, _stat_digest(shards))


def files_of(manifest: Manifest, library: Library) -> ModelFiles:
    """The files of a model of the library, linked under their names where loaders need that.

    Raises:
        InvalidInput: it is an adapter.
        InvalidModelFile: a content is gone, or stored settings are not JSON.
    """
    if manifest.format == "adapter":
        name = ModelName.parse(manifest.name).short
        base = manifest.details.base_model
        raise InvalidInput(
            f"'{name}' is a LoRA adapter{f' for {base}' if base else ''}, not a model",
            hint=f"`{how_to_apply(name, base, library.list())}`",
        )
    weights = manifest.find_layers("model", "shard")
    adapters = manifest.find_layers("adapter")
    is_gguf = manifest.format == "gguf"
    paths = [library.layer_path(layer) for layer in weights]
    directory = None
    if not is_gguf or len(weights) > 1 or adapters:
        directory = library.directory(manifest)
    if is_gguf and directory is not None and len(weights) > 1:
        paths = [directory / layer.file_name for layer in weights]
    return ModelFiles(
        name=manifest.name,
        format=manifest.format,
        paths=tuple(paths) if is_gguf else (),
        directory=None if is_gguf else directory,
        digest=manifest.digest,
        adapter=None if directory is None else _adapter_path(directory, adapters),
        template=_read_text(manifest, "template", library),
        system=_read_text(manifest, "system", library),
        parameters=_read_json(manifest, "params", library) or _default_parameters(manifest),
        messages=tuple(_read_json(manifest, "messages", library) or ()),
        license=_read_text(manifest, "license", library),
    )


def _default_parameters(manifest: Manifest) -> Mapping[str, Any]:
    return BUNDLED_PARAMETERS if manifest.name == BUNDLED_NAME.display else {}


def _find(text: str, library: Library) -> Manifest | None:
    try:
        name = ModelName.parse(text)
    except InvalidInput:
        if Path(text).expanduser().exists() or text.endswith(_PATH_ENDS):
            return None
        raise
    return library.find(name)


def _from_directory(path: Path) -> ModelFiles:
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise InvalidModelFile(
            f"{path}: has config.json, but no *.safetensors",
            hint="The directory must hold the weights as safetensors files.",
        )
    digest = _stat_digest((path / "config.json", *weights))
    return ModelFiles(path.resolve().name, "mlx", (), path, digest)


def _only_gguf(directory: Path) -> Path:
    """The one GGUF model in a directory: a file, or the first of one set of shards."""
    found = sorted(directory.glob("*.gguf"))
    if found and set(found) == set(find_shards(found[0])):
        return found[0]
    if not found:
        raise InvalidModelFile(
            f"{directory}: neither config.json nor a GGUF file in it",
            hint="Give a GGUF file, or a directory with config.json and *.safetensors.",
        )
    names = ", ".join(file.name for file in found[:4])
    raise InvalidInput(f"{directory}: several models: {names}", hint="Name one of the files.")


def _stat_digest(paths: tuple[Path, ...]) -> str:
    """Stands for the content without reading it: path, size and time of each file."""
    hasher = hashlib.sha256()
    for path in paths:
        status = path.stat()
        hasher.update(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return hasher.hexdigest()


def _adapter_path(directory: Path, adapters: list[Layer]) -> Path | None:
    if not adapters:
        return None
    first = directory / adapters[0].file_name
    return first.parent if len(adapters) > 1 else first


def _read_text(manifest: Manifest, role: Role, library: Library) -> str | None:
    layers = manifest.find_layers(role)
    if not layers:
        return None
    texts = (library.layer_path(layer).read_text("utf-8", "replace") for layer in layers)
    return "\n".join(texts)


def _read_json(manifest: Manifest, role: Role, library: Library) -> Any:
    text = _read_text(manifest, role, library)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidModelFile(f"model '{manifest.name}': stored {role}: {error}") from None

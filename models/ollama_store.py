"""Ollama's model store, read and never written.

    manifests/<host>/<namespace>/<model>/<tag>     an OCI image manifest
    blobs/sha256-<hex>                             the layers

Source: ollama, manifest/manifest.go and server/images.go (media types).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import InvalidInput, InvalidModelFile, Unsupported, UserError
from models.local_model import LocalFile, LocalModel
from models.name import ModelName
from models.store.disk import as_storage_error
from models.store.manifest import Role, is_digest
from models.template import is_go_template, why_unusable

_PREFIX = "application/vnd.ollama.image."
_ROLES: dict[str, Role] = {
    "model": "model",
    "projector": "projector",
    "adapter": "adapter",
    "template": "template",
    "prompt": "template",
    "system": "system",
    "params": "params",
    "messages": "messages",
    "license": "license",
}
_MAX_MANIFEST_BYTES = 1 << 20


def find_ollama_models(root: Path) -> tuple[list[LocalModel], list[str]]:
    """The models of the store at `root` that can be used here, and why others cannot."""
    found, problems = [], []
    for path in _manifests(root / "manifests"):
        try:
            found.append(read_ollama_model(root, path))
        except UserError as error:
            problems.append(error.message)
        except OSError as error:
            problems.append(as_storage_error(path, error).message)
    return found, problems


def read_ollama_model(root: Path, manifest: Path) -> LocalModel:
    """One model of the store.

    Raises:
        InvalidModelFile: the manifest is not one, or a layer is missing or of another size.
        Unsupported: it is made of layers that nothing here can use.
    """
    name = _name_of(manifest.relative_to(root / "manifests").parts)
    layers = _read_layers(manifest)
    kinds = [str(layer["mediaType"]).removeprefix(_PREFIX) for layer in layers]
    if "model" not in kinds:
        raise Unsupported(f"{name.display} of Ollama has no GGUF file: it cannot be used in place")
    if kinds.count("adapter") > 1:
        raise Unsupported(f"{name.display} of Ollama has several adapters; one can be applied")
    files: list[LocalFile] = []
    for layer, kind in zip(layers, kinds, strict=True):
        role = _ROLES.get(kind)
        if role is not None:
            same = sum(file.role == role for file in files)
            files.append(LocalFile(role, _file_name(name, role, same), _blob(root, name, layer)))
    return LocalModel(name.display, "gguf", tuple(files), "ollama", notes=_notes(files))


def _manifests(folder: Path) -> Iterator[Path]:
    paths = folder.glob("*/*/*/*")
    return (path for path in sorted(paths) if path.is_file() and not path.name.startswith("."))


def _name_of(parts: tuple[str, ...]) -> ModelName:
    host, namespace, model, tag = parts
    try:
        return ModelName.parse(f"{host}/{namespace}/{model}:{tag}")
    except InvalidInput as error:
        raise InvalidModelFile(f"Ollama's manifest {'/'.join(parts)}: {error.message}") from None


def _read_layers(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        text = file.read(_MAX_MANIFEST_BYTES)
    try:
        layers = json.loads(text)["layers"]
        for layer in layers:
            if not is_digest(layer["digest"]) or not isinstance(layer["size"], int):
                raise ValueError(f"layer {layer!r:.80}")
            layer["mediaType"] = str(layer["mediaType"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModelFile(f"{path}: not one of Ollama's manifests: {error!r}") from None
    return list(layers)


def _blob(root: Path, name: ModelName, layer: dict[str, Any]) -> Path:
    """The layer's file; older versions wrote a colon into its name."""
    digest: str = layer["digest"]
    path = root / "blobs" / digest.replace(":", "-", 1)
    if not path.is_file():
        path = root / "blobs" / digest
    size_bytes = path.stat().st_size if path.is_file() else None
    if size_bytes != layer["size"]:
        was = "missing" if size_bytes is None else f"of {size_bytes} bytes"
        raise InvalidModelFile(f"{name.display} of Ollama: {digest[:19]} is {was}, not whole")
    return path


def _file_name(name: ModelName, role: Role, same: int) -> str:
    more = f"-{same + 1}" if same else ""
    if role == "adapter":
        return f"adapter/{name.model}{more}.gguf"
    if role in ("model", "projector"):
        kind = "mmproj-" if role == "projector" else ""
        return f"{kind}{name.model}-{name.tag}{more}.gguf"
    return f"{role}{more}"


def _notes(files: list[LocalFile]) -> tuple[str, ...]:
    """What is said of a Go template that cannot be used: it is kept, so that nothing is lost."""
    texts = (file.path.read_text("utf-8", "replace") for file in files if file.role == "template")
    reasons = (why_unusable(text) for text in texts if is_go_template(text))
    return tuple(
        f"Ollama's chat template is kept and not used ({reason}); "
        "the GGUF file's own template is, or a general one where it has none"
        for reason in reasons
        if reason is not None
    )

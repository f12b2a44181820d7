"""Makes a model from another, or from files: with its own template, system prompt and options.

The contents are shared; what is added are small layers. Used by `localllm create` with a Modelfile
and by the daemon's /api/create with JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from models.adapter_layers import read_adapter
from models.adapters import check_adapter_names, find_adapter
from models.errors import InvalidInput, NotFound
from models.go_template import parse_go_template
from models.hub.choose import find_role
from models.importing import take_file
from models.local_model import LocalFile, model_at
from models.name import ModelName
from models.parameters import FORMER, TYPES
from models.resolve import files_of, resolve
from models.store.blobs import parse_digest
from models.store.library import Library
from models.store.manifest import Format, Layer, Manifest, Role
from models.stored_details import details_of
from models.template import is_go_template

Say = Callable[[str], None]
Pin = Callable[[str], None]


@dataclass(frozen=True)
class NewModel:
    """What to make. `base` (a name or a path) or `files` (file names to digests of blobs that are
    in the library already) say what from; the rest replaces what that has. None: as there.
    """

    name: ModelName
    base: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    adapter: Path | None = None
    adapter_files: Mapping[str, str] = field(default_factory=dict)
    """Instead of `adapter`: names of its files to digests of blobs."""
    template: str | None = None
    system: str | None = None
    licenses: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] = ()


def create_model(new: NewModel, library: Library, *, say: Say = lambda _: None) -> Manifest:
    """Make it and point its name at it; `say` is told each step in the words of Ollama's API.

    Options are added to those of the base; everything else replaces what the base has.

    Raises:
        InvalidInput: nothing to make it from, or a setting that cannot be.
        NotFound: the base, a blob or the adapter is not here.
        InvalidModelFile, Unsupported: the base is no model, the adapter not of a kind we apply.
    """
    _check(new)
    with library.pinned([]) as pin:
        say("reading model metadata")
        base = _from_files(new, library, pin) if new.files else _from_base(new, library, pin, say)
        layers = [*_kept(base, new), *_added(base, new, library, pin, say)]
        manifest = Manifest(new.name.display, base.format, tuple(layers), source=base.source)
        manifest = replace(manifest, details=details_of(manifest, library))
        _check_adapter(manifest, library)
        say("writing manifest")
        stored = library.write(manifest)
    say("success")
    return stored


def _check(new: NewModel) -> None:
    if not new.base and not new.files:
        raise InvalidInput("neither 'from' or 'files' was specified")
    for name in new.parameters:
        if name not in TYPES and name not in FORMER:
            raise InvalidInput(f"unknown parameter {name!r}", hint=f"Known: {', '.join(TYPES)}.")
    for message in new.messages:
        if message.get("role") not in ("system", "user", "assistant", "tool"):
            raise InvalidInput(f"message role {message.get('role')!r} is unknown")
    if new.template is not None:
        check_template(new.template)


def _check_adapter(manifest: Manifest, library: Library) -> None:
    """Read the headers of the model's adapter, if it has one, so that it is not refused later."""
    path = files_of(manifest, library).adapter
    if path is not None:
        read_adapter(find_adapter(path))


def check_template(text: str) -> None:
    """Raise InvalidInput when `text` is no template; tags of models' own may be in Jinja's."""
    if is_go_template(text):
        parse_go_template(text)
        return
    from jinja2 import Environment, TemplateSyntaxError

    try:
        Environment(extensions=["jinja2.ext.loopcontrols"]).parse(text)
    except TemplateSyntaxError as error:
        if "unknown tag" not in str(error):
            raise InvalidInput(f"the template's line {error.lineno}: {error.message}") from None


def _from_base(new: NewModel, library: Library, pin: Pin, say: Say) -> Manifest:
    """The model of the library that `base` names, or one made of the files at that path."""
    assert new.base is not None
    files = resolve(new.base, library)
    manifest = _named(new.base, library)
    if manifest is None:
        local = model_at(files.directory or files.paths[0])
        taken = [take_file(file, library, "reference", pin, say)[0] for file in local.files]
        return Manifest(new.name.display, local.format, tuple(taken))
    for layer in _kept(manifest, new):
        pin(layer.digest)
        path = library.layer_path(layer)
        if not library.blobs.has(layer.digest):
            library.blobs.add_link(path, layer.digest)  # the bundled model's file
        say(f"using existing layer {layer.digest}")
    return manifest


def _named(text: str, library: Library) -> Manifest | None:
    """As `resolve` decides between a name and a path."""
    if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
        return None
    try:
        return library.find(ModelName.parse(text))
    except InvalidInput:
        return None


def _from_files(new: NewModel, library: Library, pin: Pin) -> Manifest:
    """A model of blobs that were uploaded before."""
    names = set(new.files)
    is_gguf = any(name.lower().endswith(".gguf") for name in names)
    if not is_gguf and "config.json" not in names:
        raise InvalidInput(
            "no files provided to convert",
            hint="One GGUF file or its shards, or config.json with safetensors, are accepted.",
        )
    layers = []
    for name in sorted(names):
        _check_file_name(name)
        digest, size_bytes = _find_blob(new.files[name], library, pin)
        role = _role_of(name, names, is_gguf)
        if role is not None:
            layers.append(Layer(role, digest, size_bytes, name))
    kind: Format = "gguf" if is_gguf else "mlx"
    return Manifest(new.name.display, kind, tuple(layers))


def _find_blob(text: str, library: Library, pin: Pin) -> tuple[str, int]:
    """The digest of a blob that was uploaded before, pinned, and its size in bytes."""
    digest = parse_digest(text)
    pin(digest)
    if not library.blobs.has(digest):
        raise NotFound(f'blob "{digest}" not found', hint="Upload it first.")
    return digest, library.blobs.path(digest).stat().st_size


def _role_of(name: str, names: set[str], is_gguf: bool) -> Role | None:
    if not is_gguf:
        return find_role(name, names)
    if not name.lower().endswith(".gguf"):
        return None
    return "model" if sum(other.lower().endswith(".gguf") for other in names) == 1 else "shard"


def _check_file_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name:
        raise InvalidInput("file path must be relative", hint=f"It is {name!r}.")


def _kept(base: Manifest, new: NewModel) -> list[Layer]:
    """The layers of the base that nothing replaces."""
    replaced: dict[Role, bool] = {
        "template": new.template is not None,
        "system": new.system is not None,
        "params": bool(new.parameters),
        "messages": bool(new.messages),
        "license": bool(new.licenses),
        "adapter": new.adapter is not None or bool(new.adapter_files),
    }
    return [layer for layer in base.layers if not replaced.get(layer.role, False)]


def _added(base: Manifest, new: NewModel, library: Library, pin: Pin, say: Say) -> list[Layer]:
    """The layers of what `new` says itself."""
    texts: list[tuple[Role, str, str]] = [
        ("template", "template", new.template or ""),
        ("system", "system", new.system or ""),
        *(
            ("license", f"license-{index}" if index else "license", text)
            for index, text in enumerate(new.licenses)
        ),
    ]
    if new.parameters:
        merged = _read_params(base, library) | dict(new.parameters)
        texts.append(("params", "params", json.dumps(merged, ensure_ascii=False)))
    if new.messages:
        listed = [dict(message) for message in new.messages]
        texts.append(("messages", "messages", json.dumps(listed, ensure_ascii=False)))
    layers = []
    for role, file_name, text in texts:
        if text:
            say(f"creating {role} layer")
            digest, size_bytes = library.blobs.write([text.encode()], pin=pin)
            layers.append(Layer(role, digest, size_bytes, file_name))
    if new.adapter is not None:
        for path in find_adapter(new.adapter).paths:
            file = LocalFile("adapter", f"adapter/{path.name}", path)
            layers.append(take_file(file, library, "copy", pin, say)[0])
    if new.adapter_files:
        check_adapter_names(new.adapter_files)
    for name in sorted(new.adapter_files):
        digest, size_bytes = _find_blob(new.adapter_files[name], library, pin)
        layers.append(Layer("adapter", digest, size_bytes, f"adapter/{name}"))
    return layers


def _read_params(base: Manifest, library: Library) -> dict[str, Any]:
    if not base.find_layers("params"):
        return {}
    return dict(files_of(base, library).parameters)

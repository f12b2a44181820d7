"""Writes a model of the library as plain files, for other programs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from models.errors import InvalidInput
from models.modelfile import Modelfile, format_modelfile
from models.resolve import files_of
from models.store.clone import clone_file
from models.store.disk import check_space, disk_errors, random_name
from models.store.library import Library
from models.store.manifest import Layer, Manifest, Role

_NO_SPACE = "Free some space, or use --link on the library's own disk."
_SETTINGS: tuple[Role, ...] = ("template", "system", "params", "messages")


def export_model(
    manifest: Manifest,
    library: Library,
    directory: Path,
    *,
    link: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """The files written: weights, configuration and, where the name has settings, a Modelfile.

    Copies share their bytes with the library where the disk can; with `link` they are hard links.
    A file that exists is never replaced; one of the same name and size counts as written before.

    Raises:
        InvalidInput: another file of that name is there.
        InvalidModelFile: a content is gone.
        StorageError: no space, or no hard link can be made.
    """
    layers = [layer for layer in manifest.layers if layer.role not in _SETTINGS]
    missing = [layer for layer in layers if not _is_there(directory / layer.file_name, layer)]
    text = _modelfile(manifest, library)
    if text is not None:
        _check_modelfile(directory / "Modelfile", text)
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        needed_bytes = 0 if link else sum(layer.size_bytes for layer in missing)
        check_space(directory, needed_bytes, _NO_SPACE)
        for layer in missing:
            say(f"writing {layer.file_name}")
            _write(library.layer_path(layer), directory / layer.file_name, link)
        if text is not None:
            (directory / "Modelfile").write_text(text, encoding="utf-8")
    written = [directory / layer.file_name for layer in layers]
    return written if text is None else [*written, directory / "Modelfile"]


def _check_modelfile(path: Path, text: str) -> None:
    """Raise InvalidInput when another text is there."""
    if path.exists() and path.read_bytes() != text.encode():
        raise InvalidInput(f"{path}: another one is there", hint="Choose another directory.")


def _is_there(path: Path, layer: Layer) -> bool:
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_file() and path.stat().st_size == layer.size_bytes:
        return True
    raise InvalidInput(f"{path}: another file is there", hint="Choose another directory.")


def _write(source: Path, target: Path, link: bool) -> None:
    """The file whole at once; whatever interrupts leaves no part of it under its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        os.link(source.resolve(), target)
        return
    aside = target.with_name(f".{target.name}.{random_name()}")
    try:
        if not clone_file(source, aside):
            shutil.copyfile(source, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _modelfile(manifest: Manifest, library: Library) -> str | None:
    """What makes the same model of the files again; None where they are all there is."""
    adapters = manifest.find_layers("adapter")
    if manifest.format == "adapter" or not (adapters or manifest.find_layers(*_SETTINGS)):
        return None
    files = files_of(manifest, library)
    adapter = f"./{adapters[0].file_name}" if len(adapters) == 1 else "./adapter"
    weights = manifest.find_layers("model", "shard")
    return format_modelfile(
        Modelfile(
            base=f"./{weights[0].file_name}" if manifest.format == "gguf" else ".",
            adapter=adapter if adapters else None,
            template=files.template,
            system=files.system,
            parameters=dict(files.parameters),
            messages=tuple(
                {"role": str(turn["role"]), "content": str(turn.get("content", ""))}
                for turn in files.messages
            ),
        )
    )

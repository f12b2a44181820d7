"""Puts models that are made here, piece by piece, into the library or beside other files.

A file or a name appears only when all of it is there; what interrupts leaves nothing behind.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from models.create import NewModel, create_model
from models.errors import InvalidInput
from models.files import ModelFiles
from models.name import ModelName
from models.store.disk import check_space, disk_errors, write_pieces
from models.store.library import Library
from models.store.manifest import Format, Manifest

_NO_SPACE = "Free some space, choose a smaller type, or another disk with --output."


@dataclass(frozen=True)
class NewFile:
    """One file; `pieces` starts to make it."""

    name: str
    num_bytes: int
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class NewFiles:
    """One model of such files; `notes` are what its user should know."""

    format: Format
    files: tuple[NewFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.num_bytes for file in self.files)


def watch(new: NewFiles, on_bytes: Callable[[int], None]) -> NewFiles:
    """The same files; `on_bytes` is told how many bytes have been made so far."""
    made = 0

    def count(pieces: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        nonlocal made
        for piece in pieces():
            yield piece
            made += len(piece)
            on_bytes(made)

    files = [replace(file, pieces=partial(count, file.pieces)) for file in new.files]
    return replace(new, files=tuple(files))


def text_file(name: str, text: str) -> NewFile:
    """A small file whose content is known."""
    raw = text.encode()
    return NewFile(name, len(raw), lambda: iter([raw]))


def store_files(new: NewFiles, name: ModelName, library: Library, like: ModelFiles) -> Manifest:
    """Make the files into blobs and point `name` at them; settings are those of the model `like`.

    Raises:
        StorageError: the disk has no room, or is in the way.
    """
    check_space(library.root, new.num_bytes, _NO_SPACE)
    with library.pinned([]) as pin:
        files = {file.name: library.blobs.write(file.pieces(), pin=pin)[0] for file in new.files}
        model = NewModel(
            name,
            files=files,
            template=like.template,
            system=like.system,
            licenses=() if like.license is None else (like.license,),
            parameters=like.parameters,
            messages=like.messages,
        )
        return create_model(model, library)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a path where something is.

    Raises:
        InvalidInput: it exists, and `overwrite` is not given or it is no plain file.
    """
    if path.is_dir() and any(path.iterdir()):
        raise InvalidInput(f"{path}: the directory is not empty", hint="Choose another one.")
    if path.is_file() and not overwrite:
        raise InvalidInput(f"{path}: exists already", hint="--force replaces it.")


def write_files(new: NewFiles, path: Path) -> None:
    """Write a GGUF file to `path`, or an MLX model into the directory `path`.

    Raises:
        StorageError: the disk has no room, or is in the way.
    """
    check_space(path, new.num_bytes, _NO_SPACE)
    with disk_errors(path):
        if new.format == "gguf":
            write_pieces(path, new.files[0].pieces())
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            for file in new.files:
                write_pieces(aside / file.name, file.pieces())
            if path.is_dir():
                path.rmdir()
            aside.rename(path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

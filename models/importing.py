"""Puts a model that is already on the machine into the library: in place, linked, copied, moved.

Whatever the way, every file is read once and its digest becomes its name; the file that a name
leads to is the one that was read.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from models.adapter_layers import read_adapter, summarize_adapter
from models.adapters import find_adapter
from models.details import summarize
from models.errors import InvalidInput, NotFound, StorageError
from models.files import ModelFiles
from models.local_model import LocalFile, LocalModel
from models.name import ModelName
from models.store.blobs import hash_file, read_pieces
from models.store.disk import NO_HARD_LINK, Fingerprint, disk_errors
from models.store.library import Library
from models.store.manifest import Details, Layer, Manifest
from models.stored_details import details_of

Way = Literal["reference", "link", "copy", "move"]
Say = Callable[[str], None]


def import_model(
    local: LocalModel,
    library: Library,
    name: ModelName,
    way: Way = "reference",
    *,
    say: Say = lambda _: None,
) -> Manifest:
    """Point `name` at the files of `local`; `say` is told what takes time.

    "reference" leaves them where they are; "link" and "copy" keep them whatever happens there;
    "move" takes them away from there once the name leads to them here.

    Raises:
        InvalidInput: the name is another model's, or the files cannot be taken this way.
        InvalidModelFile, NotFound: they are no model, or not whole.
        StorageError: the disk is in the way.
    """
    former = library.find(name)
    if former is not None and way == "reference" and _is_here(local, library, former):
        return former
    _check_way(local, library, way)
    details = _details(local)
    with library.pinned([]) as pin:
        taken = [(take_file(file, library, way, pin, say), file) for file in local.files]
        layers = tuple(layer for (layer, _), _ in taken)
        manifest = Manifest(name.display, local.format, layers, details, local.source)
        if former is not None and former.digest != manifest.digest:
            raise InvalidInput(
                f"'{name.short}' is already another model here",
                hint=f"Choose another name with --name, or `localllm rm {name.short}` first.",
            )
        manifest = replace(manifest, details=details_of(manifest, library))
        stored = library.write(manifest)
    if way == "move":
        for (layer, fingerprint), file in taken:
            _remove_moved(file.path, layer, fingerprint, library)
    return stored


def _details(local: LocalModel) -> Details:
    """Read where it is, before anything is taken from there."""
    weights = tuple(file.path for file in local.files if file.role in ("model", "shard"))
    if local.format == "adapter":
        is_pair = len(local.files) > 1
        path = local.location.parent if is_pair else local.location
        return summarize_adapter(read_adapter(find_adapter(path)))
    if local.format == "gguf":
        return summarize(ModelFiles(local.name, "gguf", weights, None, ""))
    return summarize(ModelFiles(local.name, "mlx", (), weights[0].parent, ""))


def _is_here(local: LocalModel, library: Library, former: Manifest) -> bool:
    """The name leads to these very files already."""
    here = {layer.file_name: layer for layer in former.layers}
    if set(here) != {file.file_name for file in local.files}:
        return False
    for file in local.files:
        blob = library.blobs.path(here[file.file_name].digest)
        if not (blob.is_symlink() and blob.exists() and blob.samefile(file.path)):
            return False
        if blob.stat().st_size != here[file.file_name].size_bytes:
            return False
    return True


def _check_way(local: LocalModel, library: Library, way: Way) -> None:
    root = library.root.resolve()
    for file in local.files:
        if root in file.path.resolve().parents:
            raise InvalidInput(f"{file.path}: is in the library already")
    if way == "move" and local.place != "path":
        raise InvalidInput(
            f"{local.name} belongs to another program, which would miss it",
            hint="Use it in place, or take it with --link or --copy.",
        )
    if way == "move":
        for file in local.files:
            if file.path.is_symlink():
                raise InvalidInput(
                    f"{file.path}: a symbolic link cannot be moved",
                    hint=f"Name {file.path.resolve()}, or use --copy.",
                )


def take_file(
    file: LocalFile, library: Library, way: Way, pin: Callable[[str], None], say: Say
) -> tuple[Layer, Fingerprint]:
    """Bring one file in; its layer and what it was while it was read. "move" leaves it, too.

    Raises:
        NotFound, InvalidInput, StorageError: as `import_model`.
    """
    if not file.path.is_file():
        raise NotFound(f"{file.path}: it has gone")
    with disk_errors(file.path):
        before = Fingerprint.of(file.path)
    say(f"reading {file.file_name}")
    if way == "copy":
        digest, _ = library.blobs.write(read_pieces(file.path), pin=pin, clone_of=file.path)
    else:
        digest = hash_file(file.path)
        pin(digest)
        if way == "reference":
            library.blobs.add_reference(file.path, digest)
        else:
            _link(file.path, digest, library, may_copy=way == "move")
    with disk_errors(file.path):
        if Fingerprint.of(file.path) != before:
            raise InvalidInput(f"{file.path}: changed while it was read", hint="Try again.")
    return Layer(file.role, digest, before.size_bytes, file.file_name), before


def _link(path: Path, digest: str, library: Library, *, may_copy: bool) -> None:
    try:
        library.blobs.add_hard_link(path, digest)
    except OSError as error:
        if error.errno not in NO_HARD_LINK:
            raise StorageError(f"{path}: {error.strerror}") from error
        if not may_copy:
            raise StorageError(
                f"{path}: no hard link to it can be made in {library.root}: {error.strerror}",
                hint="It may be on another disk or another user's; use it in place, or --copy.",
            ) from error
        library.blobs.write(read_pieces(path), expected=digest, clone_of=path)


def _remove_moved(path: Path, layer: Layer, was: Fingerprint, library: Library) -> None:
    """Drop the original, if it is what was read and the content is here without it."""
    with suppress(FileNotFoundError):
        if Fingerprint.of(path) == was:
            library.blobs.remove_original(path, layer.digest)

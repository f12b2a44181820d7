"""Asks the Hub whether a model's repository has newer files, and what fetching them would take."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.errors import UserError
from models.hub.choose import Choice, choose_files
from models.hub.pull import Target
from models.name import ModelName
from models.store.library import Library
from models.store.manifest import Layer, Manifest, Role

if TYPE_CHECKING:
    from models.hub.snapshot import Hub, HubFile

State = Literal["current", "newer", "own", "unknown"]
_OWN_ROLES: tuple[Role, ...] = ("template", "system", "params", "messages", "adapter")


@dataclass(frozen=True)
class Update:
    """`state`: "current"; "newer" files are there, `num_bytes` of them; "own": made here, so that
    an update would undo it, or not from the Hub; "unknown": `problem` says why.
    """

    name: str
    state: State
    num_bytes: int = 0
    problem: str = ""
    target: Target | None = None


def find_update(manifest: Manifest, library: Library, hub: "Hub") -> Update:
    """What the Hub says of the model's source. A changed README is nothing new."""
    source = manifest.source
    if source is None or _is_own(manifest):
        return Update(manifest.name, "own")
    wanted = None if source.file is None else source.file.rpartition("/")[2]
    target = Target(ModelName.parse(manifest.name), source.repo, wanted)
    try:
        snapshot = hub.snapshot(source.repo)
        if snapshot.commit == source.revision:
            return Update(manifest.name, "current")
        choice = choose_files(snapshot.files, snapshot.repo, wanted)
    except UserError as error:
        return Update(manifest.name, "unknown", problem=error.message)
    changed = _changed_bytes(choice, manifest, library)
    if changed is None:
        return Update(manifest.name, "current")
    return Update(manifest.name, "newer", changed, target=target)


def _is_own(manifest: Manifest) -> bool:
    """Something was added to what the Hub has."""
    if manifest.format == "adapter":
        return False
    return bool(manifest.find_layers(*_OWN_ROLES))


def _changed_bytes(choice: Choice, manifest: Manifest, library: Library) -> int | None:
    """Bytes of the files that differ; None when none does."""
    here = {layer.file_name: layer for layer in manifest.layers}
    differing = [
        file
        for _, file in choice.files
        if file.base_name not in here or not _is_same(file, here[file.base_name], library)
    ]
    if not differing and len(here) == len(choice.files):
        return None
    return sum(file.size_bytes for file in differing)


def _is_same(file: "HubFile", layer: Layer, library: Library) -> bool:
    from models.hub.download import git_oid

    if file.size_bytes != layer.size_bytes:
        return False
    if file.sha256 is not None:
        return layer.digest == f"sha256:{file.sha256}"
    path = library.blobs.path(layer.digest)
    return path.is_file() and git_oid(path, file.size_bytes) == file.git_oid

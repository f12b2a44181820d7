"""What models take on the disk: here, shared, elsewhere, and what could be had back. Read-only."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import InvalidModelFile
from models.local_model import Place
from models.places import Places
from models.store.blobs import Partial
from models.store.library import Library
from models.store.manifest import Layer, Manifest

Inode = tuple[int, int]


@dataclass(frozen=True)
class ModelUsage:
    """One name's bytes: `own_bytes` would go with it, `shared_bytes` other names use too,
    `in_place_bytes` are other programs' files, `missing_bytes` are gone.
    """

    name: str
    size_bytes: int
    own_bytes: int
    shared_bytes: int
    in_place_bytes: int
    missing_bytes: int


@dataclass(frozen=True)
class StoreUsage:
    """Another program's store; `shared_bytes` of its `disk_bytes` are the library's too."""

    place: Place
    root: Path
    disk_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Usage:
    """All of it. `unused_bytes` is None while a damaged manifest hides what is used."""

    models: tuple[ModelUsage, ...]
    blob_bytes: int
    unused_bytes: int | None
    partials: tuple[Partial, ...]
    stores: tuple[StoreUsage, ...]

    @property
    def reclaimable_bytes(self) -> int:
        """What `localllm df --reclaim` would free."""
        idle = sum(partial.disk_bytes for partial in self.partials if not partial.is_running)
        return idle + (self.unused_bytes or 0)


def measure(library: Library, places: Places) -> Usage:
    """Walk the library and the other stores."""
    manifests = library.list()
    users = Counter(digest for manifest in manifests for digest in _digests(manifest))
    models = tuple(_measure_model(manifest, library, users) for manifest in manifests)
    return Usage(
        models=models,
        blob_bytes=sum(_own_bytes(library, digest) for digest in library.blobs.digests()),
        unused_bytes=_unused_bytes(library),
        partials=tuple(library.blobs.partials()),
        stores=tuple(_measure_stores(places, set(_inodes(library)))),
    )


def _digests(manifest: Manifest) -> set[str]:
    return {layer.digest for layer in manifest.layers}


def _measure_model(manifest: Manifest, library: Library, users: Counter[str]) -> ModelUsage:
    num_bytes: Counter[str] = Counter()
    for layer in {layer.digest: layer for layer in manifest.layers}.values():
        num_bytes[_kind(layer, library, users)] += layer.size_bytes
    return ModelUsage(
        manifest.name,
        manifest.size_bytes,
        num_bytes["own"],
        num_bytes["shared"],
        num_bytes["in place"],
        num_bytes["missing"],
    )


def _kind(layer: Layer, library: Library, users: Counter[str]) -> str:
    path = library.blobs.path(layer.digest)
    try:
        file = library.layer_path(layer)
    except InvalidModelFile:
        return "missing"
    if path.is_symlink() or file != path:
        return "in place"
    return "own" if users[layer.digest] == 1 else "shared"


def _own_bytes(library: Library, digest: str) -> int:
    """Bytes on the disk of a content that is here and not elsewhere."""
    status = _status(library.blobs.path(digest))
    return 0 if status is None or stat.S_ISLNK(status.st_mode) else status.st_blocks * 512


def _unused_bytes(library: Library) -> int | None:
    try:
        return sum(_own_bytes(library, digest) for digest in library.unused())
    except InvalidModelFile:
        return None


def _inodes(library: Library) -> Iterator[Inode]:
    """The files behind all contents, wherever they are."""
    for digest in library.blobs.digests():
        try:
            status = library.blobs.path(digest).stat()
        except OSError:
            continue
        yield status.st_dev, status.st_ino


def _measure_stores(places: Places, shared: set[Inode]) -> Iterator[StoreUsage]:
    listed: list[tuple[Place, tuple[Path, ...]]] = [
        ("huggingface", places.huggingface),
        ("ollama", places.ollama),
        ("lmstudio", places.lmstudio),
    ]
    for place, roots in listed:
        for root in roots:
            sizes: dict[Inode, int] = {}
            for folder, _, names in os.walk(root):
                for name in names:
                    status = _status(Path(folder, name))
                    if status is not None and stat.S_ISREG(status.st_mode):
                        sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
            both = sum(size for inode, size in sizes.items() if inode in shared)
            yield StoreUsage(place, root, sum(sizes.values()), both)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None

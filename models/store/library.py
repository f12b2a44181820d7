"""The library on disk: names that point at manifests, manifests that list blobs.

    <root>/manifests/<host>/<namespace>/<model>/<tag>.json
    <root>/directories/<manifest digest>/     links named as loaders expect them
    <root>/blobs, partial, pins               see `models.store.blobs`
    <root>/lock                               held while names or blobs go away or change

Readers take no lock: a manifest is replaced as a whole, and what it lists is there before it is.
"""

import builtins
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from models.bundled import BUNDLED_NAME, BUNDLED_PATH, read_bundled
from models.errors import InvalidInput, InvalidModelFile, NotFound
from models.hub.catalogue import find_entry, near_entries
from models.name import ModelName, near_names
from models.store.blobs import BlobStore
from models.store.disk import disk_errors, link_directory, locked, remove_tree
from models.store.manifest import Layer, Manifest
from models.store.manifest_files import ManifestFiles, read_if_whole, read_manifest

YOUNG_S = 3600.0


class Library:
    """The models below `root` (LOCALLLM_HOME/models) and the bundled one.

    `bundled` is the GGUF file behind the read-only name `pocket`; without the file, no such name.
    Until the first change nothing is created but a note of what that file is.
    """

    def __init__(self, root: Path, *, bundled: Path = BUNDLED_PATH) -> None:
        self.root = root
        self.blobs = BlobStore(root)
        self._bundled = bundled
        self._manifests = ManifestFiles(root / "manifests")
        self._lock = root / "lock"

    def list(self) -> list[Manifest]:
        """All models, newest first. A damaged manifest is left out; `find` says what is wrong."""
        found = []
        for path in self._manifests.paths():
            try:
                found.append(read_manifest(path))
            except (FileNotFoundError, InvalidModelFile):
                continue
        bundled = self._read_bundled()
        if bundled is not None:
            found.append(bundled)
        return sorted(found, key=lambda manifest: manifest.created, reverse=True)

    def find(self, name: ModelName) -> Manifest | None:
        """The model of this name; a two-part name may also mean the Hub repository's.

        Raises:
            InvalidModelFile: the name exists, its manifest is damaged.
        """
        if name.matches(BUNDLED_NAME):
            return self._read_bundled()
        for path in self._existing_paths(name):
            with suppress(FileNotFoundError):
                return read_manifest(path)
        return None

    def get(self, name: ModelName) -> Manifest:
        """The model of this name.

        Raises:
            NotFound: there is none; the hint lists near names, or how to pull it.
        """
        manifest = self.find(name)
        if manifest is None:
            raise NotFound(f"model '{name.short}' not found", hint=self.hint_for(name))
        return manifest

    def hint_for(self, name: ModelName) -> str:
        """What somebody who asked for an unknown name may have meant or can do."""
        near = near_names(name.short, (manifest.name for manifest in self.list()))
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        if find_entry(name) or name.is_hub or name.as_hub():
            can = f"`localllm pull {name.short}` fetches it"
        else:
            listed = near_entries(name.short)
            can = f"`localllm pull {listed[0] if listed else 'ORG/REPO'}` fetches one like it"
        owner = _find_owner(name)
        if owner is not None:
            can = f"{owner} has it: `localllm import {name.short}` uses it in place; {can}"
        return f"{meant}{can}; `localllm list` shows what is here."

    def write(self, manifest: Manifest) -> Manifest:
        """Point `manifest.name` at this model; as stored, with the case a former one had.

        What only the former model of the name used is removed.

        Raises:
            InvalidInput: the bundled name, or a layer whose blob is missing or of another size.
        """
        with self._changing():
            return self._put(manifest)

    def copy(self, source: ModelName, destination: ModelName) -> Manifest:
        """Give a model a second name; the blobs are shared.

        Raises:
            NotFound: no such source.
        """
        with self._changing():
            manifest = self.get(source)
            if source.matches(BUNDLED_NAME):
                self.blobs.add_link(self._bundled, manifest.layers[0].digest)
            return self._put(replace(manifest, name=destination.display, created=datetime.now(UTC)))

    def remove(self, name: ModelName) -> int:
        """Forget a name; the bytes freed. Contents that other models or running pulls need stay.

        Raises:
            NotFound: no such name.
            InvalidInput: the bundled model.
        """
        _refuse_bundled(name, "cannot be removed")
        with self._changing():
            path = next(self._existing_paths(name), None)
            if path is not None:
                manifest = read_if_whole(path)
                self._manifests.remove(path)
                return 0 if manifest is None else self._drop_unused(manifest)
        raise NotFound(f"model '{name.short}' not found", hint=self.hint_for(name))

    def prune(self) -> int:
        """Remove contents that no name and no running pull uses; the bytes freed.

        Downloads under way or interrupted are kept. A damaged manifest stops this, since its
        contents cannot be told from garbage.
        """
        with self._changing():
            self._manifests.sweep()
            self._sweep_directories()
            return sum(map(self.blobs.remove, self._unused()))

    def unused(self) -> "builtins.list[str]":
        """The contents that `prune` would remove.

        Raises:
            InvalidModelFile: a damaged manifest, whose contents cannot be told from garbage.
        """
        if not self.root.is_dir():
            return []
        with self._changing():
            return self._unused()

    def pinned(self, digests: Iterable[str]) -> AbstractContextManager[Callable[[str], None]]:
        """Keep contents from removal while a pull or create gathers its layers.

        The function yielded adds one.
        """
        return self.blobs.pinned(digests, self._lock)

    def layer_path(self, layer: Layer) -> Path:
        """The file with this layer's content.

        Raises:
            InvalidModelFile: it is gone or has another size.
        """
        path = self.blobs.path(layer.digest)
        if not path.is_file():
            bundled = self._read_bundled()
            if bundled is not None and bundled.layers[0].digest == layer.digest:
                return self._bundled
        self._check_layer(layer)
        return path

    def directory(self, manifest: Manifest) -> Path:
        """A directory where the layers have their file names, by symbolic links to the blobs."""
        target = self.root / "directories" / manifest.digest
        with suppress(OSError):
            os.utime(target)  # young again, so that a prune beside us leaves it
        if all((target / layer.file_name).exists() for layer in manifest.layers):
            return target
        links = {layer.file_name: self.layer_path(layer) for layer in manifest.layers}
        with disk_errors(target):
            link_directory(target, links)
        return target

    def _read_bundled(self) -> Manifest | None:
        return read_bundled(self._bundled, self.root / "bundled.json")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with disk_errors(self.root), locked(self._lock):
            yield

    def _put(self, manifest: Manifest) -> Manifest:
        name = ModelName.parse(manifest.name)
        _refuse_bundled(name, "cannot be replaced")
        self._check_layers(manifest)
        path = self._manifests.find(name) or self._manifests.path(name)
        former = read_if_whole(path)
        stored = replace(manifest, name=former.name if former else name.display)
        self._manifests.write(path, stored)
        if former is not None:
            self._drop_unused(former)
        return stored

    def _existing_paths(self, name: ModelName) -> Iterator[Path]:
        """The files of what a name may mean, the exact one first."""
        for candidate in (name, name.as_hub()):
            path = None if candidate is None else self._manifests.find(candidate)
            if path is not None:
                yield path

    def _check_layers(self, manifest: Manifest) -> None:
        if not manifest.layers:
            raise InvalidInput(f"model '{manifest.name}' has no files")
        for layer in manifest.layers:
            self._check_layer(layer)

    def _check_layer(self, layer: Layer) -> None:
        path = self.blobs.path(layer.digest)
        size_bytes = path.stat().st_size if path.is_file() else None
        if size_bytes != layer.size_bytes:
            found = "missing" if size_bytes is None else f"{size_bytes} bytes"
            hint = "Pull the model again; only this file is fetched."
            if path.is_symlink():
                hint = f"It was used in place at {path.readlink()}; import it again, or pull it."
            raise InvalidModelFile(
                f"{layer.file_name} ({layer.digest[:19]}): {found}, {layer.size_bytes} expected",
                hint=hint,
            )

    def _sweep_directories(self) -> None:
        """Remove views that no model has; young ones may be a pull's that is about to end."""
        views = self.root / "directories"
        digests = {read_manifest(path).digest for path in self._manifests.paths()}
        for view in views.iterdir() if views.is_dir() else ():
            is_young = time.time() - view.lstat().st_mtime < YOUNG_S
            if view.name not in digests and not is_young:
                remove_tree(view)

    def _unused(self) -> "builtins.list[str]":
        used = self._used_digests()
        return [digest for digest in self.blobs.digests() if digest not in used]

    def _used_digests(self) -> set[str]:
        used = self.blobs.pinned_digests()
        for path in self._manifests.paths():
            used.update(layer.digest for layer in read_manifest(path).layers)
        return used

    def _drop_unused(self, manifest: Manifest) -> int:
        """Remove what of `manifest` nobody else uses; nothing while a manifest is unreadable."""
        try:
            used = self._used_digests()
            same = any(
                read_manifest(path).digest == manifest.digest for path in self._manifests.paths()
            )
        except InvalidModelFile:
            return 0
        if not same:
            remove_tree(self.root / "directories" / manifest.digest)
        digests = {layer.digest for layer in manifest.layers}
        return sum(self.blobs.remove(digest) for digest in digests - used)


def _find_owner(name: ModelName) -> str | None:
    """The other program on this machine that has a model of this name."""
    from models.places import find_places
    from models.scan import find_owner

    titles = {"huggingface": "The Hugging Face cache", "ollama": "Ollama", "lmstudio": "LM Studio"}
    owner = find_owner(name, find_places(os.environ, Path.home()))
    return None if owner is None else titles[owner]


def _refuse_bundled(name: ModelName, what: str) -> None:
    if name.matches(BUNDLED_NAME):
        raise InvalidInput(
            f"'{name}' is the bundled model and {what}",
            hint="`localllm cp pocket NAME` makes a copy under a name of your own.",
        )

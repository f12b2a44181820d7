"""Where manifests are on the disk: one file for each name, found in whatever case it was written.

<root>/<host>/<namespace>/<model>/<tag>.json
"""

from collections.abc import Iterator
from pathlib import Path

from models.errors import InvalidModelFile
from models.name import ModelName
from models.store.disk import sync_directory, write_whole
from models.store.manifest import Manifest, format_manifest, parse_manifest


class ManifestFiles:
    """The manifests below `root`. Readers need no lock; whoever changes holds the library's."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def paths(self) -> Iterator[Path]:
        """Every manifest's file."""
        folders = [self.root]
        for _ in range(3):
            folders = [child for folder in folders for child in _children(folder)]
        return (
            path
            for folder in folders
            for path in _children(folder)
            if path.suffix == ".json" and not path.name.startswith(".")
        )

    def find(self, name: ModelName) -> Path | None:
        """The file of this name in whatever case it was written."""
        exact = self.path(name)
        if exact.is_file():
            return exact
        found = [self.root]
        for part in exact.relative_to(self.root).parts:
            wanted = part.lower()
            found = [
                child
                for folder in found
                for child in _children(folder)
                if child.name.lower() == wanted
            ]
        return min(found, default=None)

    def path(self, name: ModelName) -> Path:
        """Where a new manifest of this name goes."""
        return self.root / name.host / name.namespace / name.model / f"{name.tag}.json"

    def write(self, path: Path, manifest: Manifest) -> None:
        """Put the manifest there, whole at once."""
        write_whole(path, format_manifest(manifest))

    def remove(self, path: Path) -> None:
        """Take a manifest away, and the folders that this empties."""
        path.unlink()
        self._remove_empty(path.parent)

    def sweep(self) -> None:
        """Remove what processes left that were killed while they changed something here."""
        for aside in [*self.root.glob("*/*/*/.*")]:
            aside.unlink(missing_ok=True)
        for depth in ("*/*/*", "*/*", "*"):
            for folder in [*self.root.glob(depth)]:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def _remove_empty(self, folder: Path) -> None:
        while folder != self.root and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
        sync_directory(folder)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        InvalidModelFile: it is damaged.
        FileNotFoundError: it has just been removed.
    """
    return parse_manifest(path.read_bytes(), str(path))


def read_if_whole(path: Path) -> Manifest | None:
    """The manifest in a file, or None when it is damaged or gone."""
    try:
        return read_manifest(path)
    except (FileNotFoundError, InvalidModelFile):
        return None


def _children(folder: Path) -> list[Path]:
    """What `folder` holds; nothing when another process has just removed it."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []

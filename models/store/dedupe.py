"""Finds equal files in the library and in other programs' stores, and lets them share their bytes.

A copy is replaced, whole at once, by a clone of the file that is kept, or by a hard link to it
where the disk has no clones. Nothing is touched that has changed since its content was read.
"""

import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import StorageError
from models.places import Places
from models.store.blobs import hash_file
from models.store.clone import clone_file
from models.store.disk import Fingerprint, random_name
from models.store.library import Library

MIN_BYTES = 1 << 20
"""Smaller files are not worth a reader's time."""


@dataclass(frozen=True)
class ReadFile:
    """A file as it was when its content was read."""

    path: Path
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Duplicate:
    """Files of one content on one file system: the one to keep, and its copies."""

    digest: str
    size_bytes: int
    kept: ReadFile
    copies: tuple[ReadFile, ...]

    @property
    def wasted_bytes(self) -> int:
        """What merging would free: the copies' bytes."""
        return self.size_bytes * len({copy.fingerprint.inode for copy in self.copies})


@dataclass(frozen=True)
class Merge:
    """What became of one copy; `reason` says why it was left alone."""

    path: Path
    how: Literal["clone", "hard link", "left"]
    freed_bytes: int = 0
    reason: str = ""


def find_duplicates(
    library: Library, places: Places, *, say: Callable[[str], None] = lambda _: None
) -> list[Duplicate]:
    """Equal files of at least `MIN_BYTES`, the most wasteful first; only equal sizes are read.

    The library's own file is the one to keep, else the first found. Files that are one already,
    by hard or symbolic link, are no copies.
    """
    groups: defaultdict[tuple[int, int], list[ReadFile]] = defaultdict(list)
    for file in _candidates(library, places):
        groups[file.fingerprint.device, file.fingerprint.size_bytes].append(file)
    found: list[Duplicate] = []
    for (_, size_bytes), files in groups.items():
        if len({file.fingerprint.inode for file in files}) > 1:
            found += _equal(files, size_bytes, say)
    return sorted(found, key=lambda duplicate: -duplicate.wasted_bytes)


def merge(duplicate: Duplicate) -> Iterator[Merge]:
    """Replace each copy by a clone or hard link of the kept file."""
    for copy in duplicate.copies:
        yield _merge_one(duplicate.kept, copy)


def _candidates(library: Library, places: Places) -> Iterator[ReadFile]:
    """Regular files that hold models, each path once; the library's first."""
    listed: list[Iterable[Path]] = [map(library.blobs.path, library.blobs.digests())]
    listed += [root.glob("models--*/blobs/*") for root in places.huggingface]
    listed += [root.glob("blobs/sha256*") for root in places.ollama]
    for root in places.lmstudio:
        listed += [root.glob("*/*/**/*.gguf"), root.glob("*/*/**/*.safetensors")]
    for path in (path for paths in listed for path in paths):
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size >= MIN_BYTES:
            yield ReadFile(path, Fingerprint.of(path))


def _equal(
    files: list[ReadFile], size_bytes: int, say: Callable[[str], None]
) -> Iterator[Duplicate]:
    """Those of equal size that are equal; each inode is read once."""
    digests: dict[int, str | None] = {}
    by_digest: defaultdict[str, list[ReadFile]] = defaultdict(list)
    for file in files:
        inode = file.fingerprint.inode
        if inode not in digests:
            say(f"reading {file.path}")
            digests[inode] = _hash_unchanged(file)
        digest = digests[inode]
        if digest is not None:
            by_digest[digest].append(file)
    for digest, (kept, *others) in by_digest.items():
        copies = [file for file in others if file.fingerprint.inode != kept.fingerprint.inode]
        if copies:
            yield Duplicate(digest, size_bytes, kept, tuple(copies))


def _hash_unchanged(file: ReadFile) -> str | None:
    """The digest; None when the file cannot be read or changes meanwhile."""
    try:
        digest = hash_file(file.path)
        return digest if Fingerprint.of(file.path) == file.fingerprint else None
    except (OSError, StorageError):
        return None


def _merge_one(kept: ReadFile, copy: ReadFile) -> Merge:
    aside = copy.path.with_name(f".{random_name()}.localllm")
    try:
        status = copy.path.lstat()
        if kept.path.stat().st_uid != status.st_uid:
            return Merge(copy.path, "left", reason="it belongs to another user")
        is_clone = clone_file(kept.path, aside)
        if is_clone:
            shutil.copystat(copy.path, aside)
        else:
            os.link(kept.path, aside)
        if not (_is_unchanged(kept) and _is_unchanged(copy)):
            return Merge(copy.path, "left", reason="a file changed since it was read")
        os.replace(aside, copy.path)  # noqa: PTH105  # one call, so that tests can stop it
    except OSError as error:
        return Merge(copy.path, "left", reason=(error.strerror or str(error)).lower())
    finally:
        aside.unlink(missing_ok=True)
    freed_bytes = status.st_size if status.st_nlink == 1 else 0
    return Merge(copy.path, "clone" if is_clone else "hard link", freed_bytes)


def _is_unchanged(file: ReadFile) -> bool:
    return not file.path.is_symlink() and Fingerprint.of(file.path) == file.fingerprint

"""Whole-or-nothing writes, locks between processes and disk errors said in the user's words."""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.errors import StorageError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space; `localllm df` shows what models take."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space."),
    errno.EACCES: ("permission denied", "Check who owns it, or set LOCALLLM_HOME elsewhere."),
    errno.EPERM: ("not permitted", "Check who owns it, or set LOCALLLM_HOME elsewhere."),
    errno.EROFS: ("the file system is read-only", "Set LOCALLLM_HOME to a writable directory."),
    errno.ENOTDIR: ("part of the path is a file", "Set LOCALLLM_HOME to a directory."),
}

SPARE_BYTES = 256 << 20
"""What of the disk is left for others."""

NO_HARD_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})
"""Why a hard link cannot be made where a copy can."""


@dataclass(frozen=True)
class Fingerprint:
    """Which file it is and when it last changed, by the file system's word."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The fingerprint of the file that `path` leads to."""
        status = path.stat()
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside into a StorageError about `path`."""
    try:
        yield
    except OSError as error:
        raise as_storage_error(path, error) from error


def as_storage_error(path: Path, error: OSError) -> StorageError:
    """The user's view of `error`, which came from using `path`."""
    reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), None))
    return StorageError(f"{error.filename or path}: {reason}", hint=hint)


def check_space(folder: Path, needed_bytes: int, hint: str) -> None:
    """See that the disk has room for `needed_bytes` below `folder`, and a little more.

    Raises:
        StorageError: it has not.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    import shutil  # takes longer to import than `list` to read a thousand names

    free_bytes = shutil.disk_usage(existing).free
    if needed_bytes and needed_bytes + SPARE_BYTES > free_bytes:
        raise StorageError(
            f"{folder}: {_amount(needed_bytes)} more are needed, {_amount(SPARE_BYTES)} to spare, "
            f"and {_amount(free_bytes)} are free",
            hint=hint,
        )


def _amount(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:.1f} GB"


def write_whole(path: Path, text: str) -> None:
    """Replace `path` by `text` so that a reader or a crash sees the old file or the new one.

    The parent directory is made if need be.
    """
    write_pieces(path, [text.encode()])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same for content that arrives in pieces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name[:150]}.{random_name()}")
    try:
        with aside.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names just written or removed in `path` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock that the file `path` stands for; True when it is held.

    With `wait=False` another holder means False at once. The kernel lets go when the process
    dies, so there is no stale lock. Threads exclude each other as processes do. The holder may
    remove the file.

    Raises:
        StorageError: the lock file cannot be made.
    """
    while True:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if _is_at(path, descriptor):
                yield True
                return
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """The open file is the one of this name, not one that a former holder has removed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target`, which does not exist, the same content as `source`.

    A hard link where the file system has them, else a copy, which may be cut short by a crash.
    """
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno not in NO_HARD_LINK:
            raise
        from shutil import copyfile

        copyfile(source, target)


def link_directory(target: Path, links: Mapping[str, Path]) -> None:
    """Make `target` a directory of symbolic links, `links` by relative name, whole at once.

    A directory of that name is replaced; when another process makes it first, that one stays.
    """
    aside = target.with_name(f".{random_name()}")
    for name, source in links.items():
        link = aside / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source.absolute())
    remove_tree(target)
    try:
        aside.rename(target)
    except OSError:
        remove_tree(aside)
        if not target.is_dir():
            raise


def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it, as far as that goes."""
    from shutil import rmtree

    rmtree(path, ignore_errors=True)


def random_name() -> str:
    """Sixteen characters that no other process comes upon."""
    return os.urandom(8).hex()

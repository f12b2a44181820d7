"""File contents by their sha256: each stored once, whole or not at all.

    blobs/sha256-<hex>              the content; a symbolic link when it is used in place elsewhere
    partial/<hex or oid>            a download under way, with its `.progress` and `.lock`
    pins/<random>                   the digests that a running pull or create still needs
    oids/<git oid>                  the digest of a small file that the Hub names by git's sha1
    references.lock                 held while a content becomes a reference, or an original goes

A digest that somebody has pinned is never removed, so a pull may finish one file, wait for the
next and only then point a name at both. The pin's file is locked while its owner lives: what a
killed process leaves behind counts for nothing.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from models.errors import InvalidInput
from models.hub.partial import progress_path
from models.store.clone import clone_file
from models.store.disk import (
    disk_errors,
    link_or_copy,
    locked,
    random_name,
    sync_directory,
    write_whole,
)
from models.store.manifest import is_digest

_READ_BYTES = 1 << 20


def parse_digest(text: str) -> str:
    """`sha256:<hex>`; also accepts `sha256-<hex>` and bare hex, as REST clients write them.

    Raises:
        InvalidInput: anything else.
    """
    digest = text.lower().replace("-", ":", 1)
    if not digest.startswith("sha256:"):
        digest = f"sha256:{digest}"
    if not is_digest(digest):
        raise InvalidInput(f"invalid digest {text!r}: sha256: and 64 hex digits are accepted")
    return digest


def hash_file(path: Path) -> str:
    """The digest of a file's content."""
    with disk_errors(path), path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_pieces(path: Path) -> Iterator[bytes]:
    """A file's content, a megabyte at a time."""
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece


@dataclass(frozen=True)
class Partial:
    """A content on its way in: what it takes on the disk, and of how much; 0 if unknown."""

    key: str
    disk_bytes: int
    size_bytes: int
    is_running: bool


class BlobStore:
    """The contents below `root`. Safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.partial_dir = root / "partial"
        self._blob_dir = root / "blobs"
        self._pin_dir = root / "pins"
        self._oid_dir = root / "oids"
        self._reference_lock = root / "references.lock"

    def path(self, digest: str) -> Path:
        """Where the content of `digest` is or would be."""
        return self._blob_dir / digest.replace(":", "-", 1)

    def has(self, digest: str) -> bool:
        """The content is here, or where its link points."""
        return self.path(digest).is_file()

    def adopt(self, partial: Path, digest: str) -> None:
        """Move a file whose content was verified to be `digest` into the store."""
        target = self.path(digest)
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
            sync_directory(target.parent)

    def add_link(self, source: Path, digest: str) -> None:
        """Store a verified file by hard link, or by copy where there are none."""
        with disk_errors(self.path(digest)):
            self._put(digest, lambda aside: link_or_copy(source, aside))

    def add_hard_link(self, source: Path, digest: str) -> None:
        """Store a verified file by hard link.

        Raises:
            OSError: it is on another file system, or may not be linked.
        """
        self._put(digest, lambda aside: os.link(source.resolve(), aside))

    def add_reference(self, source: Path, digest: str) -> None:
        """Use a file just verified where it is, by symbolic link; it vanishes with its owner.

        A former reference gives way, since its file may have changed; a content of our own stays.
        """
        with locked(self._reference_lock), disk_errors(self.path(digest)):
            self._put(digest, lambda aside: aside.symlink_to(source.resolve()))

    def remove_original(self, original: Path, digest: str) -> None:
        """Drop a file whose content is here under `digest` and not by reference."""
        with locked(self._reference_lock), disk_errors(original):
            if not self.path(digest).is_symlink() and self.has(digest):
                original.unlink(missing_ok=True)

    def write(
        self,
        chunks: Iterable[bytes],
        *,
        expected: str | None = None,
        clone_of: Path | None = None,
        pin: Callable[[str], None] = lambda _: None,
    ) -> tuple[str, int]:
        """Store content that arrives in pieces; its digest and size in bytes.

        `chunks` may be those of the file `clone_of`, which then shares its bytes with the blob
        where the disk can. `pin` is told the digest before the content has its name.

        Raises:
            InvalidInput: the content is not `expected`; nothing is kept.
        """
        hasher, size_bytes = hashlib.sha256(), 0
        with disk_errors(self.partial_dir), self._aside() as aside:
            is_clone = clone_of is not None and clone_file(clone_of, aside)
            with aside.open("r+b" if is_clone else "xb") as file:
                for chunk in read_pieces(aside) if is_clone else chunks:
                    hasher.update(chunk)
                    size_bytes += len(chunk) if is_clone else file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            digest = f"sha256:{hasher.hexdigest()}"
            if expected not in (None, digest):
                raise InvalidInput(f'digest mismatch, expected "{expected}", got "{digest}"')
            pin(digest)
            if not self.has(digest) or self.path(digest).is_symlink():
                self.adopt(aside, digest)
        return digest, size_bytes

    def _put(self, digest: str, make: Callable[[Path], None]) -> None:
        """Make the content's file aside, then give it its name; a mere reference gives way."""
        target = self.path(digest)
        if target.is_symlink() or not target.is_file():
            with self._aside() as aside:
                make(aside)
                self.adopt(aside, digest)

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        """A name for content on its way in; locked, so that what a dead process left is known."""
        aside = self.partial_dir / f"upload-{random_name()}"
        lock = aside.with_name(f"{aside.name}.lock")
        with locked(lock):
            try:
                yield aside
            finally:
                aside.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)

    def remove(self, digest: str) -> int:
        """Forget a content; the bytes that this frees here, 0 for a link or nothing."""
        path = self.path(digest)
        if path.is_symlink() or not path.exists():
            size_bytes = 0
        else:
            status = path.stat()
            size_bytes = status.st_size if status.st_nlink == 1 else 0
        path.unlink(missing_ok=True)
        return size_bytes

    def find_oid(self, oid: str) -> str | None:
        """The stored content that git calls `oid`, if it is still here."""
        try:
            digest = (self._oid_dir / oid).read_text(encoding="ascii")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return digest if is_digest(digest) and self.has(digest) else None

    def note_oid(self, oid: str, digest: str) -> None:
        """Remember what git calls a content, so that it is not fetched to learn its digest."""
        with disk_errors(self._oid_dir):
            write_whole(self._oid_dir / oid, digest)

    def partials(self) -> list[Partial]:
        """Downloads and uploads under way or interrupted, the largest first."""
        found = []
        for lock in self.partial_dir.glob("*.lock"):
            path = lock.with_suffix("")
            with suppress(FileNotFoundError), locked(lock, wait=False) as idle:
                status = path.stat()
                disk_bytes = status.st_blocks * 512
                found.append(Partial(path.name, disk_bytes, status.st_size, is_running=not idle))
        return sorted(found, key=lambda partial: -partial.disk_bytes)

    def remove_partials(self) -> int:
        """Give up interrupted downloads that nobody is continuing; the bytes freed."""
        size_bytes = 0
        for lock in [*self.partial_dir.glob("*.lock")]:
            with locked(lock, wait=False) as idle:
                if not idle:
                    continue
                partial = lock.with_suffix("")
                for path in (partial, progress_path(partial), lock):
                    size_bytes += path.stat().st_blocks * 512 if path.exists() else 0
                    path.unlink(missing_ok=True)
        return size_bytes

    def digests(self) -> Iterator[str]:
        """Every stored content."""
        if self._blob_dir.is_dir():
            for path in self._blob_dir.iterdir():
                digest = path.name.replace("-", ":", 1)
                if is_digest(digest):
                    yield digest

    @contextmanager
    def pinned(self, digests: Iterable[str], guard: Path) -> Iterator[Callable[[str], None]]:
        """Keep these contents, and those given to the function yielded, until the block ends.

        `guard` is the lock under which removals happen: once this has it, a content is either
        gone already or safe.
        """
        pin = self._pin_dir / random_name()

        def add(digest: str) -> None:
            with disk_errors(pin), locked(guard), pin.open("a", encoding="ascii") as file:
                file.write(f"{digest}\n")

        with ExitStack() as held:
            with disk_errors(pin), locked(guard):
                held.enter_context(locked(pin))
                pin.write_text("".join(f"{digest}\n" for digest in digests))
            held.callback(pin.unlink, missing_ok=True)
            yield add

    def pinned_digests(self) -> set[str]:
        """What living processes need; drops the pins of dead ones. Call under the guard."""
        found: set[str] = set()
        if not self._pin_dir.is_dir():
            return found
        for pin in self._pin_dir.iterdir():
            with locked(pin, wait=False) as orphaned:
                if orphaned:
                    pin.unlink(missing_ok=True)
                else:
                    with suppress(FileNotFoundError):  # its owner has just ended
                        found.update(pin.read_text().split())
        return found

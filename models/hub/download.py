"""Fetches one file of a Hub repository into the blob store, over several connections.

A file is fetched by one process at a time; another that wants it waits, watches and then finds it.
Whatever ends a fetch, what came in stays for the next one.
"""

import contextlib
import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from models.errors import InvalidModelFile
from models.hub.partial import PartialFile, count_completed
from models.hub.snapshot import Hub, HubFile, Snapshot
from models.store.blobs import BlobStore, hash_file
from models.store.disk import disk_errors, locked

NUM_CONNECTIONS = 4
SEGMENT_BYTES = 64 << 20
POLL_S = 0.1
_READ_BYTES = 1 << 20

OnProgress = Callable[[HubFile, int], None]
"""Told a file and how many of its bytes are here."""


@dataclass(frozen=True)
class Fetcher:
    """What fetching needs to know besides the file.

    `pin` is told a digest before its content is stored under it; `cancelled` ends the fetch with
    `models.hub.snapshot.Cancelled`; `on_status` is told what else is going on, in words.
    """

    hub: Hub
    snapshot: Snapshot
    blobs: BlobStore
    cancelled: threading.Event
    pin: Callable[[str], None]
    on_progress: OnProgress
    on_status: Callable[[str], None]

    def fetch(self, file: HubFile) -> str:
        """The digest of the file's content, which is in the store and verified when this returns.

        Raises:
            UserError: it cannot be had, or its content is not what the Hub announces.
            Cancelled: the event was set.
        """
        while True:
            self.hub.check_cancelled()
            with locked(self._lock_path(file), wait=False) as mine:
                try:
                    digest = self._find(file)
                    if digest is None and mine:
                        digest = self._fetch_alone(file)
                finally:
                    if mine and not self.partial_path(file).exists():
                        self._lock_path(file).unlink(missing_ok=True)
            if digest is not None:
                self.on_progress(file, file.size_bytes)
                return digest
            self.on_progress(file, count_completed(self.partial_path(file)))
            self.cancelled.wait(POLL_S)

    def missing_bytes(self, file: HubFile) -> int:
        """Bytes that a fetch would still bring onto the disk."""
        if self._find(file) is not None or self._in_cache(file) is not None:
            return 0
        return file.size_bytes - count_completed(self.partial_path(file))

    def partial_path(self, file: HubFile) -> Path:
        """Where the file grows: named by content, so every repository and revision shares it."""
        return self.blobs.partial_dir / (file.sha256 or file.git_oid)

    def _lock_path(self, file: HubFile) -> Path:
        partial = self.partial_path(file)
        return partial.with_name(partial.name + ".lock")

    def _find(self, file: HubFile) -> str | None:
        """The digest if the content is in the store; pinned, so that it stays."""
        digest = f"sha256:{file.sha256}" if file.sha256 else self.blobs.find_oid(file.git_oid)
        if digest is None or not self._is_whole(digest, file):
            return None
        self.pin(digest)
        return digest if self._is_whole(digest, file) else None

    def _is_whole(self, digest: str, file: HubFile) -> bool:
        """Stored, and of the right size: what is used in place may have changed there."""
        path = self.blobs.path(digest)
        return path.is_file() and path.stat().st_size == file.size_bytes

    def _fetch_alone(self, file: HubFile) -> str:
        """Fetch while holding the file's lock."""
        digest = self._adopt_from_cache(file)
        if digest is not None:
            return digest
        while True:
            partial = PartialFile(self.partial_path(file), file.size_bytes, SEGMENT_BYTES)
            try:
                self._fetch_segments(file, partial)
                partial.sync()
            finally:
                partial.close()
                if file.size_bytes and not partial.completed_bytes:
                    partial.discard()
            self.on_status(f"verifying {file.base_name}")
            found = _verify(partial.path, file)
            if found is not None:
                self.pin(found)
                self.blobs.adopt(partial.path, found)
                partial.discard()
                if file.sha256 is None:
                    self.blobs.note_oid(file.git_oid, found)
                return found
            partial.discard()
            if partial.resumed_bytes == 0:
                raise InvalidModelFile(
                    f"{self.snapshot.repo}/{file.path}: what arrived is not what the Hub "
                    f"announces (sha256 {file.sha256 or 'of git ' + file.git_oid})",
                    hint="It was thrown away. Try again, or another HF_ENDPOINT.",
                )
            self.on_status(f"what was kept of {file.base_name} is damaged, fetching it again")

    def _adopt_from_cache(self, file: HubFile) -> str | None:
        """Link the content out of the Hugging Face cache when it is there and whole."""
        cached = self._in_cache(file)
        if cached is None:
            return None
        self.on_status(f"verifying {file.base_name} in the Hugging Face cache")
        digest = _verify(cached, file)
        if digest is not None:
            self.pin(digest)
            self.blobs.add_link(cached, digest)
        return digest

    def _in_cache(self, file: HubFile) -> Path | None:
        """The Hugging Face cache's file of this content, if it has the right size."""
        folder = f"models--{self.snapshot.repo.replace('/', '--')}"
        cached = Path(constants.HF_HUB_CACHE) / folder / "blobs" / (file.sha256 or file.git_oid)
        try:
            return cached if cached.stat().st_size == file.size_bytes else None
        except OSError:
            return None

    def _fetch_segments(self, file: HubFile, partial: PartialFile) -> None:
        """Bring in every missing segment; several at once."""
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for segment in range(partial.num_segments):
            start, stop = partial.missing(segment)
            if start < stop:
                todo.put(segment)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                for segment in _drain(todo):
                    self._fetch_segment(file, partial, segment)
            except BaseException as error:  # noqa: BLE001  # handed to the thread that asked
                failed.append(error)
                self.cancelled.set()

        threads = [
            threading.Thread(target=work, daemon=True)
            for _ in range(min(NUM_CONNECTIONS, todo.qsize()))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                self.on_progress(file, partial.completed_bytes)
                thread.join(POLL_S)
        if failed:
            raise failed[0]

    def _fetch_segment(self, file: HubFile, partial: PartialFile, segment: int) -> None:
        """Bring in one segment, going on where the connection broke."""
        tries = 0
        while True:
            start, stop = partial.missing(segment)
            if start == stop:
                return
            try:
                with self._open(file, start, stop) as pieces:
                    for piece in pieces:
                        partial.write(segment, piece)
                        tries = 0
                        self.hub.check_cancelled()
                start, stop = partial.missing(segment)
                if start < stop:
                    raise httpx2.RemoteProtocolError(f"{stop - start} bytes did not arrive")
            except (HfHubHTTPError, httpx2.HTTPError) as error:
                tries += 1
                self.hub.wait_after(error, tries, self.snapshot.repo)

    def _open(
        self, file: HubFile, start: int, stop: int
    ) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        snapshot = self.snapshot
        return self.hub.open_range(snapshot.repo, snapshot.commit, file.path, start, stop)


def _drain(todo: "queue.SimpleQueue[int]") -> Iterator[int]:
    while True:
        try:
            yield todo.get_nowait()
        except queue.Empty:
            return


def _verify(path: Path, file: HubFile) -> str | None:
    """The digest of the content if it is what the Hub announces, else None."""
    if path.stat().st_size != file.size_bytes:
        return None
    digest = hash_file(path)
    if file.sha256 is not None:
        return digest if digest == f"sha256:{file.sha256}" else None
    return digest if git_oid(path, file.size_bytes) == file.git_oid else None


def git_oid(path: Path, size_bytes: int) -> str:
    """What git calls a file's content: the sha1 of a header and the bytes."""
    hasher = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    with disk_errors(path), path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            hasher.update(piece)
    return hasher.hexdigest()

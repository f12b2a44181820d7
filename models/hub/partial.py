"""A file that is being fetched: its bytes so far and which of them are there.

    <key>             the content, as long as it will be, with holes
    <key>.progress    how far each segment has come, 8 bytes each, after a header of 16
    <key>.lock        locked by the process that fetches

A piece is written first and counted after, so what is counted is there, even after kill -9;
after a power loss the digest tells. Segments let several connections work on one file.
"""

import os
import struct
from pathlib import Path

from models.store.disk import disk_errors

_HEADER = struct.Struct("<QQ")
_COUNT = struct.Struct("<Q")


class PartialFile:
    """One download's file, open for writing. The caller holds its lock.

    Different threads may write different segments.
    """

    def __init__(self, path: Path, size_bytes: int, segment_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.segment_bytes = segment_bytes
        self._progress_path = progress_path(path)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._data = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._progress = os.open(
                self._progress_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
            self._counts = self._read_counts()
            os.ftruncate(self._data, size_bytes)
        self.resumed_bytes = self.completed_bytes

    @property
    def num_segments(self) -> int:
        """Segments of the file; the last may be short."""
        return -(-self.size_bytes // self.segment_bytes)

    @property
    def completed_bytes(self) -> int:
        """Bytes that are there."""
        return sum(self._counts)

    def missing(self, segment: int) -> tuple[int, int]:
        """The bytes `start:stop` that the segment still lacks; empty when it is complete."""
        start = segment * self.segment_bytes
        return start + self._counts[segment], min(start + self.segment_bytes, self.size_bytes)

    def write(self, segment: int, piece: bytes) -> None:
        """Append to what the segment has."""
        start, stop = self.missing(segment)
        assert len(piece) <= stop - start
        with disk_errors(self.path):
            written = 0
            while written < len(piece):
                written += os.pwrite(self._data, piece[written:], start + written)
            count = self._counts[segment] + len(piece)
            os.pwrite(self._progress, _COUNT.pack(count), _HEADER.size + segment * _COUNT.size)
        self._counts[segment] = count

    def sync(self) -> None:
        """Put the content on the disk itself."""
        with disk_errors(self.path):
            os.fsync(self._data)

    def close(self) -> None:
        """Let go of the files, which stay."""
        os.close(self._data)
        os.close(self._progress)

    def discard(self) -> None:
        """Forget what is there: it turned out wrong, or has been moved away whole."""
        self.path.unlink(missing_ok=True)
        self._progress_path.unlink(missing_ok=True)

    def _read_counts(self) -> list[int]:
        header = _HEADER.pack(self.size_bytes, self.segment_bytes)
        num_bytes = self.num_segments * _COUNT.size
        raw = os.pread(self._progress, len(header) + num_bytes, 0)
        if raw[: len(header)] == header and len(raw) == len(header) + num_bytes:
            counts = [count for (count,) in _COUNT.iter_unpack(raw[len(header) :])]
            lengths = [
                min(self.segment_bytes, self.size_bytes - index * self.segment_bytes)
                for index in range(self.num_segments)
            ]
            whole = os.fstat(self._data).st_size == self.size_bytes
            if whole and all(c <= length for c, length in zip(counts, lengths, strict=True)):
                return counts
        os.ftruncate(self._data, 0)
        os.ftruncate(self._progress, 0)
        os.pwrite(self._progress, header + bytes(num_bytes), 0)
        return [0] * self.num_segments


def progress_path(path: Path) -> Path:
    """The file that counts what `path` has."""
    return path.with_name(path.name + ".progress")


def count_completed(path: Path) -> int:
    """Bytes that another process has fetched of the partial file `path`; 0 when unknown."""
    try:
        raw = progress_path(path).read_bytes()
    except OSError:
        return 0
    counts = raw[_HEADER.size : len(raw) - len(raw) % _COUNT.size]
    return sum(count for (count,) in _COUNT.iter_unpack(counts))

"""The second tier of the prefix cache: blocks as files that outlive the process.

A file is found by the hash of all tokens up to its block, in a directory named after everything
that shapes keys and values. It is written aside and renamed, and carries a checksum: a damaged or
foreign file is a miss and is removed, never garbage in an answer.
"""

import hashlib
import os
import struct
from collections.abc import Sequence as Tokens
from pathlib import Path

MAGIC = b"LLKV0001"
_HEADER = struct.Struct("<8s32sQ")


def chain_key(parent_key: str, token_ids: Tokens[int]) -> str:
    """Name of a block: a hash of its tokens and its parent's name ("" for the first block)."""
    tokens = struct.pack(f"<{len(token_ids)}q", *token_ids)
    return hashlib.sha256(bytes.fromhex(parent_key) + tokens).hexdigest()


class DiskCache:
    """Blocks of one model (`fingerprint`) under `directory`, at most `max_bytes` in all.

    Raises nothing for a broken disk while reading: what cannot be read is a miss.
    """

    def __init__(self, directory: Path, fingerprint: str, max_bytes: int) -> None:
        self._directory = directory / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._max_bytes = max_bytes
        self.num_bytes = sum(path.stat().st_size for path in self._directory.iterdir())

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def read(self, key: str) -> bytes | None:
        """The block's bytes, exactly as written, or None."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        payload = data[_HEADER.size :]
        if data[: _HEADER.size] != _header(payload):
            self._remove(path)
            return None
        os.utime(path)
        return payload

    def write(self, key: str, payload: bytes) -> None:
        """Keep a block, at the price of those that were used longest ago.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        aside = self._path(key).with_suffix(f".{os.getpid()}.new")
        aside.write_bytes(_header(payload) + payload)
        aside.replace(self._path(key))
        self.num_bytes += _HEADER.size + len(payload)
        if self.num_bytes > self._max_bytes:
            self._shrink(self._max_bytes * 9 // 10)

    def _shrink(self, target_bytes: int) -> None:
        files = [(path.stat(), path) for path in self._directory.iterdir()]
        self.num_bytes = sum(stat.st_size for stat, _ in files)
        for _, path in sorted(files, key=lambda item: item[0].st_mtime_ns):
            if self.num_bytes <= target_bytes:
                break
            self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        self.num_bytes -= size

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.kv"


def _header(payload: bytes) -> bytes:
    return _HEADER.pack(MAGIC, hashlib.sha256(payload).digest(), len(payload))

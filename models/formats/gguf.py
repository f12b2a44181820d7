"""Opens GGUF files, one or a set of shards, as metadata and memory-mapped tensors.

Knows what the bytes are called and where they lie, not what they mean to a network.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from models.errors import InvalidModelFile, StorageError
from models.formats.gguf_header import Header, RawTensor, parse_header
from models.formats.gguf_reader import Value
from models.formats.shards import find_shards

__all__ = ["GGUFFile", "TensorInfo", "Value", "read_gguf"]


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `shape` is row-major, so a matrix that maps K inputs to N outputs is (N, K).

    `quantization` is the format as GGUF names it: "Q4_K", "F16", ...
    """

    name: str
    quantization: str
    shape: tuple[int, ...]
    num_bytes: int

    @property
    def num_parameters(self) -> int:
        """Weights in the tensor."""
        return prod(self.shape)


@dataclass(frozen=True)
class GGUFFile:
    """One model of one or several GGUF files, checked and mapped; the files must not change.

    `metadata` is the first shard's; `tensors` are all shards', in the order of the files.
    """

    paths: tuple[Path, ...]
    version: int
    metadata: dict[str, Value]
    tensors: Mapping[str, TensorInfo]
    total_bytes: int
    _places: Mapping[str, tuple[np.ndarray, RawTensor]]
    _entries: Mapping[str, slice]
    _first_shard: mmap.mmap

    def metadata_bytes(self, key: str) -> bytes:
        """One metadata value as it is stored, its type in front (`models.formats.gguf_writer`)."""
        return self._first_shard[self._entries[key]]

    def tensor_bytes(self, name: str) -> np.ndarray:
        """The stored blocks of one tensor: read-only uint8 [rows, row_bytes], a view into the map.

        `rows` is the product of all dimensions but the last. Raises KeyError for an unknown name.
        """
        data, raw = self._places[name]
        return data[raw.start : raw.start + raw.num_bytes].reshape(-1, raw.row_bytes)


def read_gguf(path: Path) -> GGUFFile:
    """The model in `path`; when that is one shard of several, all of them.

    Reads the header only; tensor bytes are paged in when they are touched.

    Raises:
        NotFound: the file or one of its shards is not there.
        StorageError: it cannot be read.
        InvalidModelFile: it is damaged or of another kind, with the byte or name that was wrong.
    """
    paths = find_shards(path)
    maps = [_map_file(shard) for shard in paths]
    headers = [parse_header(data, str(shard)) for data, shard in zip(maps, paths, strict=True)]
    _check_split(paths, headers)
    places: dict[str, tuple[np.ndarray, RawTensor]] = {}
    for shard, data, header in zip(paths, maps, headers, strict=True):
        array = np.frombuffer(data, np.uint8)
        for name, raw in header.tensors.items():
            if name in places:
                raise InvalidModelFile(f"{shard}: tensor {name!r} is in an earlier shard as well")
            places[name] = (array, raw)
    tensors = {
        name: TensorInfo(name, raw.quantization, raw.shape, raw.num_bytes)
        for name, (_, raw) in places.items()
    }
    return GGUFFile(
        paths=paths,
        version=headers[0].version,
        metadata=headers[0].metadata,
        tensors=tensors,
        total_bytes=sum(len(data) for data in maps),
        _places=places,
        _entries=headers[0].entries,
        _first_shard=maps[0],
    )


def _map_file(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise InvalidModelFile(f"{path}: the file is empty") from None
    except IsADirectoryError:
        raise InvalidModelFile(f"{path}: a directory, not a GGUF file") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error


def _check_split(paths: tuple[Path, ...], headers: list[Header]) -> None:
    """Compare each shard's `split.*` metadata with the place its name gives it."""
    for index, (path, header) in enumerate(zip(paths, headers, strict=True)):
        number = _split_value(path, header, "split.no", 0)
        count = _split_value(path, header, "split.count", 0)
        if len(paths) == 1 and count in (0, 1):
            continue
        if (number, count) != (index, len(paths)):
            raise InvalidModelFile(
                f"{path}: says it is shard {number} (from 0) of {count}, "
                f"its name says {index} of {len(paths)}",
                hint="Shards must be named NAME-00001-of-0000N.gguf as they were published.",
            )
    found = sum(len(header.tensors) for header in headers)
    announced = _split_value(paths[0], headers[0], "split.tensors.count", found)
    if announced != found:
        raise InvalidModelFile(
            f"{paths[0]}: announces {announced} tensors, the shards have {found}"
        )


def _split_value(path: Path, header: Header, key: str, default: int) -> int:
    value = header.metadata.get(key, default)
    if type(value) is not int:
        raise InvalidModelFile(f"{path}: {key} is {value!r:.40}; a number is accepted")
    return value

"""Reads safetensors files and indexed sets of them as names, shapes and mapped bytes.

For showing, verifying and checking shapes; the engine reads weights through MLX. As strict as the
GGUF reader: a size is believed only when the file has it.

Source: the safetensors format description (huggingface/safetensors, README).
"""

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import InvalidModelFile, NotFound
from models.store.disk import disk_errors

MAX_HEADER_BYTES = 100_000_000
MAX_DIMENSIONS = 32
DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of one file; `start` is its first byte counted from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int


@dataclass(frozen=True)
class SafetensorsFiles:
    """One model of one or several safetensors files, checked and mapped."""

    paths: tuple[Path, ...]
    metadata: Mapping[str, str]
    tensors: Mapping[str, StoredTensor]
    total_bytes: int
    _places: Mapping[str, np.ndarray]

    def tensor_bytes(self, name: str) -> np.ndarray:
        """The bytes of one tensor: read-only uint8 [num_bytes], a view into the map."""
        tensor = self.tensors[name]
        return self._places[name][tensor.start : tensor.start + tensor.num_bytes]


def open_safetensors(path: Path) -> SafetensorsFiles:
    """The model in a file, or in a directory: what its index lists, else every file in it.

    Raises:
        NotFound: no such file, or one that the index lists is missing.
        InvalidModelFile: damaged, of another kind, or index and files disagree.
    """
    paths, index = _list_files(path)
    metadata: dict[str, str] = {}
    tensors: dict[str, StoredTensor] = {}
    places: dict[str, np.ndarray] = {}
    total_bytes = 0
    for file in paths:
        data = _map_file(file)
        total_bytes += len(data)
        array = np.frombuffer(data, np.uint8)
        file_metadata, file_tensors = parse_header(data, str(file))
        metadata |= file_metadata
        for name, tensor in file_tensors.items():
            if name in tensors:
                raise InvalidModelFile(f"{file}: tensor {name!r} is in an earlier file as well")
            tensors[name], places[name] = tensor, array
    missing = [name for name in index if name not in tensors]
    if missing:
        raise InvalidModelFile(f"{path}: the index lists {missing[0]!r}, which no file has")
    return SafetensorsFiles(paths, metadata, tensors, total_bytes, places)


def parse_header(
    data: mmap.mmap | bytes, name: str
) -> tuple[dict[str, str], dict[str, StoredTensor]]:
    """Metadata and tensors of the safetensors file `data`; `name` is how errors call it.

    Raises:
        InvalidModelFile: saying what is wrong.
    """
    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header_bytes > min(len(data) - 8, MAX_HEADER_BYTES):
        raise InvalidModelFile(
            f"{name}: not a safetensors file: a header of {header_bytes} bytes is announced, "
            f"the file has {len(data)}",
            hint="The file is damaged, cut short or of another kind; fetch it again.",
        )
    header = _parse_json(bytes(data[8 : 8 + header_bytes]), name)
    metadata = header.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata  # MLX writes null for none
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidModelFile(f"{name}: __metadata__ must map strings to strings")
    data_start = 8 + header_bytes
    tensors = {key: _parse_tensor(key, entry, data_start, name) for key, entry in header.items()}
    _check_layout(list(tensors.values()), data_start, len(data), name)
    return metadata, tensors


def _parse_json(raw: bytes, name: str) -> dict[str, Any]:
    try:
        header = json.loads(raw, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise InvalidModelFile(f"{name}: the header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise InvalidModelFile(f"{name}: the header must be a JSON object")
    return header


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key occurs twice")
    return keys


def _parse_tensor(key: str, entry: Any, data_start: int, name: str) -> StoredTensor:
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise InvalidModelFile(
            f"{name}: tensor {key!r} needs dtype, shape and two data_offsets"
        ) from None
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        known = ", ".join(DTYPE_BITS)
        raise InvalidModelFile(
            f"{name}: tensor {key!r} has dtype {dtype!r}, which is none of {known}"
        )
    sizes = [start, stop, *shape] if isinstance(shape, list) else [None]
    if len(sizes) > MAX_DIMENSIONS + 2 or not all(type(n) is int and n >= 0 for n in sizes):
        raise InvalidModelFile(
            f"{name}: tensor {key!r} has shape {shape!r:.60} and offsets {start!r:.30} to "
            f"{stop!r:.30}; whole numbers from 0 are accepted"
        )
    num_bits = prod(shape) * DTYPE_BITS[dtype]
    if num_bits != (stop - start) * 8:
        raise InvalidModelFile(
            f"{name}: tensor {key!r}, {dtype} {shape}, takes {num_bits // 8} bytes, "
            f"its offsets give {stop - start}"
        )
    return StoredTensor(key, dtype, tuple(shape), data_start + start, stop - start)


def _check_layout(tensors: list[StoredTensor], data_start: int, end: int, name: str) -> None:
    """Tensors must follow each other without gap or overlap up to the end of the file."""
    position = data_start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.num_bytes)):
        if tensor.start != position:
            raise InvalidModelFile(
                f"{name}: tensor {tensor.name!r} starts at byte {tensor.start}, {position} expected"
            )
        position += tensor.num_bytes
    if position != end:
        raise InvalidModelFile(
            f"{name}: the tensors end at byte {position}, but the file has {end}",
            hint="The file is damaged or cut short; fetch it again.",
        )


def _list_files(path: Path) -> tuple[tuple[Path, ...], dict[str, str]]:
    if not path.is_dir():
        return (path,), {}
    index_path = path / "model.safetensors.index.json"
    if not index_path.is_file():
        found = tuple(sorted(path.glob("*.safetensors")))
        if not found:
            raise NotFound(f"{path}: no *.safetensors in it")
        return found, {}
    with disk_errors(index_path):
        index = _parse_json(index_path.read_bytes(), str(index_path)).get("weight_map")
    if not isinstance(index, dict) or not all(_is_file_name(name) for name in index.values()):
        raise InvalidModelFile(f"{index_path}: weight_map must map tensor names to file names")
    paths = tuple(path / name for name in sorted(set(index.values())))
    missing = [file.name for file in paths if not file.exists()]
    if missing:
        raise NotFound(f"{path}: {len(missing)} of {len(paths)} files missing: {missing[0]}")
    return paths, index


def _is_file_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and "/" not in name
        and "\0" not in name
    )


def _map_file(path: Path) -> mmap.mmap:
    if not path.exists():
        raise NotFound(f"{path}: no such file")
    try:
        with disk_errors(path), path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise InvalidModelFile(f"{path}: the file is empty") from None

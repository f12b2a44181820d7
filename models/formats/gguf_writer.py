"""Writes GGUF files as a stream: the header first, then one tensor after the other.

Source: the GGUF specification, ggml/docs/gguf.md (version 3, little-endian).
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from models.formats.ggml_types import BLOCK_FORMATS
from models.formats.gguf_header import DEFAULT_ALIGNMENT
from models.formats.gguf_reader import Value

_TYPE_IDS = {form.name: type_id for type_id, form in BLOCK_FORMATS.items()}
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY, _U64, _I64 = 4, 5, 6, 7, 8, 9, 10, 11
_ITEM_TYPES = {
    np.dtype(name): value_type
    for value_type, name in (
        (0, "<u1"),
        (1, "<i1"),
        (2, "<u2"),
        (3, "<i2"),
        (4, "<u4"),
        (5, "<i4"),
        (6, "<f4"),
        (7, "?"),
        (10, "<u8"),
        (11, "<i8"),
        (12, "<f8"),
    )
}


@dataclass(frozen=True)
class NewTensor:
    """A tensor to be written; `shape` is row-major, `quantization` as GGUF names it."""

    name: str
    quantization: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of its blocks."""
        form = BLOCK_FORMATS[_TYPE_IDS[self.quantization]]
        assert self.shape[-1] % form.block_size == 0, self
        return prod(self.shape) // form.block_size * form.block_bytes


ReadPieces = Callable[[NewTensor], Iterable[bytes]]


def encode_value(value: Value) -> bytes:
    """A metadata value with its type in front, as `GGUFFile.metadata_bytes` gives those of a file.

    Integers take uint32 where they fit, floats float32; an empty list is an array of strings.
    """
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        value_type, code = _integer_type(value)
        return struct.pack(f"<I{code}", value_type, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    return struct.pack("<I", _ARRAY) + _array(value)


def _integer_type(value: int) -> tuple[int, str]:
    if 0 <= value < 1 << 32:
        return _U32, "I"
    if -(1 << 31) <= value < 0:
        return _I32, "i"
    return (_U64, "Q") if value > 0 else (_I64, "q")


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _array(value: "list[str] | list[Value] | np.ndarray") -> bytes:
    if isinstance(value, np.ndarray):
        item_type = _ITEM_TYPES[value.dtype]
        return struct.pack("<IQ", item_type, value.size) + value.tobytes()
    texts = [item for item in value if isinstance(item, str)]
    assert len(texts) == len(value), "nested arrays are copied, never made"
    return struct.pack("<IQ", _STRING, len(texts)) + b"".join(map(_string, texts))


def gguf_bytes(entries: Mapping[str, bytes], tensors: Sequence[NewTensor]) -> int:
    """The size of the file that `gguf_pieces` writes."""
    return len(_header(entries, tensors)) + sum(_padded(tensor.num_bytes) for tensor in tensors)


def gguf_pieces(
    entries: Mapping[str, bytes], tensors: Sequence[NewTensor], read: ReadPieces
) -> Iterator[bytes]:
    """The whole file in pieces. `read` gives a tensor's blocks when its turn comes.

    `entries` are metadata values as `encode_value` makes them, by key.
    """
    yield _header(entries, tensors)
    for tensor in tensors:
        written = 0
        for piece in read(tensor):
            written += len(piece)
            yield piece
        assert written == tensor.num_bytes, f"{tensor}: {written} bytes"
        if _padded(written) > written:
            yield bytes(_padded(written) - written)


def _header(entries: Mapping[str, bytes], tensors: Sequence[NewTensor]) -> bytes:
    alignment = encode_value(DEFAULT_ALIGNMENT)
    assert entries.get("general.alignment", alignment) == alignment
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(entries))]
    parts += [_string(key) + value for key, value in entries.items()]
    offset = 0
    for tensor in tensors:
        dimensions = tensor.shape[::-1]
        parts.append(_string(tensor.name))
        parts.append(struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
        parts.append(struct.pack("<IQ", _TYPE_IDS[tensor.quantization], offset))
        offset += _padded(tensor.num_bytes)
    header = b"".join(parts)
    return header + bytes(_padded(len(header)) - len(header))


def _padded(num_bytes: int) -> int:
    return -(-num_bytes // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT

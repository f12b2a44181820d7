"""Parses one GGUF file's header: a pure function of bytes that believes nothing it reads.

Every count and length is compared with the bytes that are left before anything is allocated, so a
hostile file costs at most its own size plus `MAX_OVERHEAD_BYTES` of memory.

Source: the GGUF specification, ggml/docs/gguf.md (versions 2 and 3, little-endian).
"""

import struct
import sys
from collections.abc import Callable
from itertools import pairwise
from math import prod
from mmap import mmap
from typing import NamedTuple, NoReturn, TypeAlias

import numpy as np

from models.errors import InvalidModelFile
from models.ggml_types import BLOCK_FORMATS

Value: TypeAlias = "bool | int | float | str | list[str] | list[Value] | np.ndarray"
"""A metadata value: numeric arrays are 1-D numpy arrays, string and nested arrays are lists."""

MAX_OVERHEAD_BYTES = 64 << 20
MAX_STRING_BYTES = 16 << 20
MAX_KEY_BYTES = 65_535
MAX_TENSOR_NAME_BYTES = 255
MAX_DIMENSIONS = 4
MAX_NESTING = 4
MAX_NESTED_ARRAYS = 65_536
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 65_536

MAX_ENTRIES = 65_536

_MIN_ENTRY_BYTES = 14  # key length, one byte of key, value type, a one-byte value
_MIN_TENSOR_BYTES = 33  # name length, one byte of name, one dimension, type, offset
_STRINGS_PER_CHECK = 32_768

_BOOL, _STRING, _ARRAY = 7, 8, 9
_SCALARS: dict[int, np.dtype[np.generic]] = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
_U64 = struct.Struct("<Q")


class RawTensor(NamedTuple):
    """One tensor of one file; `start` is its first byte counted from the start of the file."""

    name: str
    quantization: str
    shape: tuple[int, ...]
    row_bytes: int
    start: int
    num_bytes: int


class Header(NamedTuple):
    """What one file says before its tensor data."""

    version: int
    metadata: dict[str, Value]
    tensors: dict[str, RawTensor]
    entries: dict[str, slice]
    """Where each metadata value, its type in front, lies in the file."""


def parse_header(data: mmap | bytes, name: str) -> Header:
    """The header of the GGUF file `data`; `name` is how errors call the file.

    Raises:
        InvalidModelFile: saying which part was wrong, what stood there and what is accepted.
    """
    return _Parser(data, name).parse()


class _Parser:
    def __init__(self, data: mmap | bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.position = 0
        self.end = len(data)
        self.budget_bytes = self.end + MAX_OVERHEAD_BYTES
        self.num_nested = 0

    def parse(self) -> Header:
        version = self.read_preamble()
        num_tensors = self.read_u64("the number of tensors")
        num_entries = self.read_u64("the number of metadata entries")
        for count in (num_tensors, num_entries):
            if count > MAX_ENTRIES:
                self.fail(f"announces {count} entries; at most {MAX_ENTRIES} are accepted")
        self.check_count(num_entries, _MIN_ENTRY_BYTES, "metadata entries")
        metadata: dict[str, Value] = {}
        entries: dict[str, slice] = {}
        for _ in range(num_entries):
            self.read_entry(metadata, entries)
        alignment = self.check_alignment(metadata)
        self.check_count(num_tensors, _MIN_TENSOR_BYTES, "tensors")
        described = [self.read_tensor(alignment) for _ in range(num_tensors)]
        data_start = -(-self.position // alignment) * alignment
        tensors = self.place(described, data_start)
        return Header(version, metadata, tensors, entries)

    def fail(self, what: str, *, hint: str | None = None) -> NoReturn:
        raise InvalidModelFile(
            f"{self.name}: {what}",
            hint=hint or "The file is damaged or cut short; fetch or export it again.",
        )

    def read_preamble(self) -> int:
        magic = bytes(self.data[:4])
        if magic != b"GGUF":
            self.fail(
                f"not a GGUF file: it begins with {magic!r} instead of b'GGUF'",
                hint="Give a GGUF file, or a directory with config.json and *.safetensors.",
            )
        self.position = 4
        version = int.from_bytes(self.take(4, "the version"), "little")
        if version not in (2, 3):
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            found = f"big-endian version {swapped}" if swapped in (2, 3) else f"version {version}"
            self.fail(
                f"GGUF {found} is not supported; versions 2 and 3, little-endian, are",
                hint="Convert the model again with a current llama.cpp.",
            )
        return version

    def skip(self, num_bytes: int, what: str) -> int:
        """Step over `num_bytes` that are there; the position before them."""
        start = self.position
        if num_bytes > self.end - start:
            left = self.end - start
            self.fail(f"ends inside {what}: {num_bytes} bytes announced, {left} left")
        self.position = start + num_bytes
        return start

    def take(self, num_bytes: int, what: str) -> bytes:
        start = self.skip(num_bytes, what)
        return bytes(self.data[start : self.position])

    def read_u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def read_u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def check_count(self, count: int, min_bytes: int, what: str) -> None:
        left = self.end - self.position
        if count * min_bytes > left:
            self.fail(f"announces {count} {what}, but only {left} bytes follow")

    def read_string(self, what: str, max_bytes: int = MAX_STRING_BYTES) -> str:
        num_bytes = self.read_u64(f"the length of {what}")
        if num_bytes > max_bytes:
            self.fail(f"{what} is {num_bytes} bytes long; at most {max_bytes} are accepted")
        raw = self.take(num_bytes, what)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.fail(f"{what} is not UTF-8: {raw[:40]!r}")

    def read_entry(self, metadata: dict[str, Value], entries: dict[str, slice]) -> None:
        key = self.read_string("a metadata key", MAX_KEY_BYTES)
        if not key:
            self.fail("a metadata key is empty")
        if key in metadata:
            self.fail(f"metadata key {key!r} occurs twice")
        start = self.position
        value_type = self.read_u32(f"the type of {key!r}")
        metadata[key] = self.read_value(value_type, key)
        entries[key] = slice(start, self.position)

    def read_value(self, value_type: int, key: str) -> Value:
        if value_type == _STRING:
            return self.read_string(f"the value of {key!r}")
        if value_type == _ARRAY:
            return self.read_array(key, depth=1)
        if value_type == _BOOL:
            return bool(self.read_bools(1, key)[0])
        number = self.read_numbers(value_type, 1, key)[0].item()
        assert isinstance(number, int | float)
        return number

    def read_numbers(self, value_type: int, count: int, key: str) -> np.ndarray:
        dtype = _SCALARS.get(value_type)
        if dtype is None:
            self.fail(f"{key!r} has value type {value_type}; types 0 to 12 exist")
        start = self.skip(count * dtype.itemsize, f"the value of {key!r}")
        return np.frombuffer(self.data, dtype, count, start)

    def read_bools(self, count: int, key: str) -> np.ndarray:
        start = self.skip(count, f"the value of {key!r}")
        raw = np.frombuffer(self.data, np.uint8, count, start)
        if count and raw.max() > 1:
            self.fail(f"{key!r} is a boolean stored as {raw.max()}; 0 and 1 are accepted")
        return raw.view(np.bool_)

    def read_array(self, key: str, depth: int) -> Value:
        self.num_nested += 1
        if depth > MAX_NESTING or self.num_nested > MAX_NESTED_ARRAYS:
            self.fail(f"{key!r} nests arrays deeper or wider than is accepted ({MAX_NESTING} deep)")
        item_type = self.read_u32(f"the item type of {key!r}")
        count = self.read_u64(f"the length of {key!r}")
        if item_type == _STRING:
            return self.read_strings(count, key)
        if item_type == _ARRAY:
            self.check_count(count, 12, f"arrays in {key!r}")
            return [self.read_array(key, depth + 1) for _ in range(count)]
        read: Callable[[], np.ndarray] = (
            (lambda: self.read_bools(count, key))
            if item_type == _BOOL
            else (lambda: self.read_numbers(item_type, count, key))
        )
        return read()

    def read_strings(self, count: int, key: str) -> list[str]:
        self.check_count(count, 8, f"strings in {key!r}")
        strings: list[str] = []
        while len(strings) < count:
            batch = self.read_string_batch(min(count - len(strings), _STRINGS_PER_CHECK), key)
            self.budget_bytes -= sum(map(sys.getsizeof, batch)) + 8 * len(batch)
            if self.budget_bytes < 0:
                self.fail(f"the strings of {key!r} take far more memory than the file's size")
            strings += batch
        return strings

    def read_string_batch(self, count: int, key: str) -> list[str]:
        """`count` strings in a row: the loop that a vocabulary of 250,000 tokens goes through."""
        data, position, end = self.data, self.position, self.end
        length_at = _U64.unpack_from
        strings = []
        try:
            for _ in range(count):
                start = position + 8
                position = start + length_at(data, position)[0]
                if position > end or position - start > MAX_STRING_BYTES:
                    self.fail(f"a string in {key!r} is {position - start} bytes long, past the end")
                strings.append(data[start:position].decode())
        except struct.error:
            self.fail(f"ends inside the strings of {key!r}")
        except UnicodeDecodeError:
            self.fail(f"string {len(strings)} of {key!r} is not UTF-8")
        self.position = position
        return strings

    def check_alignment(self, metadata: dict[str, Value]) -> int:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if (
            type(alignment) is not int
            or not 8 <= alignment <= MAX_ALIGNMENT
            or alignment & (alignment - 1)
        ):
            self.fail(
                f"general.alignment is {alignment!r}; a power of two "
                f"from 8 to {MAX_ALIGNMENT} is accepted"
            )
        return alignment

    def read_tensor(self, alignment: int) -> RawTensor:
        """One tensor description; `start` is still counted from the start of the tensor data."""
        name = self.read_string("a tensor name", MAX_TENSOR_NAME_BYTES)
        if not name:
            self.fail("a tensor name is empty")
        num_dimensions = self.read_u32(f"the dimensions of {name!r}")
        if not 1 <= num_dimensions <= MAX_DIMENSIONS:
            self.fail(
                f"tensor {name!r} has {num_dimensions} dimensions; 1 to {MAX_DIMENSIONS} exist"
            )
        dimensions = [self.read_u64(f"the shape of {name!r}") for _ in range(num_dimensions)]
        type_id = self.read_u32(f"the type of {name!r}")
        offset = self.read_u64(f"the offset of {name!r}")
        if type_id not in BLOCK_FORMATS:
            known = ", ".join(form.name for form in BLOCK_FORMATS.values())
            self.fail(f"tensor {name!r} has type {type_id}, which is none of {known}")
        form = BLOCK_FORMATS[type_id]
        if 0 in dimensions or dimensions[0] % form.block_size:
            self.fail(
                f"tensor {name!r} has shape {dimensions}; {form.name} needs rows of "
                f"a positive multiple of {form.block_size} weights"
            )
        if offset % alignment:
            self.fail(f"tensor {name!r} starts at {offset}, not a multiple of {alignment}")
        row_bytes = dimensions[0] // form.block_size * form.block_bytes
        num_bytes = row_bytes * prod(dimensions[1:])
        return RawTensor(name, form.name, tuple(dimensions[::-1]), row_bytes, offset, num_bytes)

    def place(self, described: list[RawTensor], data_start: int) -> dict[str, RawTensor]:
        """Check that the tensors lie inside the file and apart, in the order of the file's list."""
        tensors: dict[str, RawTensor] = {}
        for tensor in described:
            if tensor.name in tensors:
                self.fail(f"tensor {tensor.name!r} occurs twice")
            start = data_start + tensor.start
            if start + tensor.num_bytes > self.end:
                self.fail(
                    f"tensor {tensor.name!r} ends at byte {start + tensor.num_bytes}, "
                    f"but the file has {self.end}"
                )
            tensors[tensor.name] = tensor._replace(start=start)
        by_start = sorted(tensors.values(), key=lambda tensor: tensor.start)
        for before, after in pairwise(by_start):
            if before.start + before.num_bytes > after.start:
                self.fail(f"tensors {before.name!r} and {after.name!r} overlap")
        return tensors

"""Parses one GGUF file's header: a pure function of bytes that believes nothing it reads.

Every count and length is compared with the bytes that are left before anything is allocated, so a
hostile file costs at most its own size plus `gguf_reader.MAX_OVERHEAD_BYTES` of memory.

Source: the GGUF specification, ggml/docs/gguf.md (versions 2 and 3, little-endian).
"""

from itertools import pairwise
from math import prod
from mmap import mmap
from typing import NamedTuple

from models.formats.ggml_types import BLOCK_FORMATS
from models.formats.gguf_reader import Value, ValueReader

MAX_KEY_BYTES = 65_535
MAX_TENSOR_NAME_BYTES = 255
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 65_536

MAX_ENTRIES = 65_536

_MIN_ENTRY_BYTES = 14  # key length, one byte of key, value type, a one-byte value
_MIN_TENSOR_BYTES = 33  # name length, one byte of name, one dimension, type, offset


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


class _Parser(ValueReader):
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

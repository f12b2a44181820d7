"""Reads the parts of a GGUF header one after the other and believes none of them.

Every count and length is compared with the bytes that are left before anything is allocated.
"""

import struct
import sys
from collections.abc import Callable
from mmap import mmap
from typing import NoReturn, TypeAlias

import numpy as np

from models.errors import InvalidModelFile

Value: TypeAlias = "bool | int | float | str | list[str] | list[Value] | np.ndarray"
"""A metadata value: numeric arrays are 1-D numpy arrays, string and nested arrays are lists."""

MAX_OVERHEAD_BYTES = 64 << 20
MAX_STRING_BYTES = 16 << 20
MAX_NESTING = 4
MAX_NESTED_ARRAYS = 65_536

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


class ValueReader:
    """A place in the bytes of the file `name`, and how much memory its strings may still take."""

    def __init__(self, data: mmap | bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.position = 0
        self.end = len(data)
        self.budget_bytes = self.end + MAX_OVERHEAD_BYTES
        self.num_nested = 0

    def fail(self, what: str, *, hint: str | None = None) -> NoReturn:
        raise InvalidModelFile(
            f"{self.name}: {what}",
            hint=hint or "The file is damaged or cut short; fetch or export it again.",
        )

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

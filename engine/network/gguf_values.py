"""Typed reads of GGUF metadata: the value, its default, or an error that names the key.

Knows the types of values, not what any key means.
"""

from collections.abc import Mapping
from typing import TypeVar, cast

import numpy as np

from models.errors import InvalidModelFile
from models.formats.gguf import Value

_MAX_SIZE = 1 << 30

_T = TypeVar("_T", bool, int, float, str)


class Metadata:
    """A view of one file's metadata; keys that start with "." get the architecture in front.

    Getters without a default raise InvalidModelFile when the key is missing, and all of them do
    when the value has another type.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values
        self.architecture = self.string("general.architecture", "")

    def name(self, key: str) -> str:
        """The key as files have it."""
        return self._full(key)

    def __contains__(self, key: str) -> bool:
        return self._full(key) in self._values

    def replaced(self, values: Mapping[str, Value]) -> "Metadata":
        """The same with other values for some keys."""
        return Metadata({**self._values, **{self._full(key): values[key] for key in values}})

    def value(self, key: str) -> "Value | None":
        """Whatever is stored; None when the key is missing."""
        return self._values.get(self._full(key))

    def string(self, key: str, default: str | None = None) -> str:
        """A UTF-8 string."""
        return self._scalar(key, str, default)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """A boolean."""
        return self._scalar(key, bool, default)

    def integer(self, key: str, default: int | None = None) -> int:
        """An integer; an array of equal integers (one for each layer) counts as that integer."""
        value = int(self._scalar(key, int, default))
        if abs(value) >= 1 << 31:
            raise InvalidModelFile(
                f"the GGUF value {self.name(key)!r} is {value}; no model has that"
            )
        return value

    def size(self, key: str, default: int | None = None) -> int:
        """A number of things that there must be, and not more of than any model has."""
        size = self.integer(key, default)
        if not 1 <= size <= _MAX_SIZE:
            raise InvalidModelFile(
                f"the GGUF value {self.name(key)!r} is {size}; no model has that"
            )
        return size

    def number(self, key: str, default: float | None = None) -> float:
        """A float or an integer."""
        return float(self._scalar(key, float, default))

    def strings(self, key: str) -> list[str]:
        """An array of strings; empty when the key is missing."""
        value = self._values.get(self._full(key), [])
        if isinstance(value, np.ndarray) and value.size == 0:
            return []
        if not isinstance(value, list) or not set(map(type, value)) <= {str}:
            raise self._wrong(key, "an array of strings")
        return cast(list[str], value.copy())

    def flags(self, key: str) -> list[bool]:
        """An array of booleans, or a single one; empty when the key is missing."""
        value = self._values.get(self._full(key), [])
        if isinstance(value, bool):
            return [value]
        if isinstance(value, np.ndarray) and value.dtype == np.bool_:
            return [bool(flag) for flag in value]
        if isinstance(value, list) and not value:
            return []
        raise self._wrong(key, "an array of booleans")

    def array(self, key: str) -> np.ndarray | None:
        """A 1-D numeric array; None when the key is missing."""
        value = self._values.get(self._full(key))
        if value is None or (isinstance(value, list) and not value):
            return None
        if not isinstance(value, np.ndarray):
            raise self._wrong(key, "an array of numbers")
        return value

    def _full(self, key: str) -> str:
        return self.architecture + key if key.startswith(".") else key

    def _wrong(self, key: str, expected: str) -> InvalidModelFile:
        return InvalidModelFile(f"the GGUF value {self._full(key)!r} must be {expected}")

    def _scalar(self, key: str, kind: type[_T], default: _T | None) -> _T:
        value = self._values.get(self._full(key))
        if value is None:
            if default is None:
                raise InvalidModelFile(f"the GGUF value {self._full(key)!r} is missing")
            return default
        if isinstance(value, np.ndarray) and value.size and (value == value[0]).all():
            value = value[0].item()
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return kind(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(key, f"a single {kind.__name__}")
        return value

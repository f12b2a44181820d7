"""Reads typed fields of a JSON body, with the errors of Go's decoder, which clients know."""

import json
import re
from typing import Any, NoReturn

from app.daemon.struct import Kind, Struct
from models.errors import InvalidInput

Json = dict[str, Any]


def parse_body(body: bytes) -> Json:
    """The JSON object in a request's body; lone surrogates become U+FFFD.

    Raises:
        InvalidInput: empty, not JSON or not an object.
    """
    if not body.strip():
        raise InvalidInput("missing request body")
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        raise InvalidInput(_decoder_text(error)) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the request body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"json: cannot unmarshal {_kind(value)} into Go value of type object")
    has_surrogates = re.search(rb"\\u[dD][89a-fA-F]", body) is not None
    return dict(_without_surrogates(value)) if has_surrogates else value


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


def _decoder_text(error: json.JSONDecodeError) -> str:
    """What Go's decoder says of the same fault."""
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    places = {
        "Expecting value": "looking for beginning of value",
        "Expecting property name": "looking for beginning of object key string",
        "Illegal trailing comma": "looking for beginning of object key string",
        "Expecting ':'": "after object key",
        "Expecting ','": "after object key:value pair",
        "Extra data": "after top-level value",
        "Invalid control character": "in string literal",
        "Invalid \\escape": "in string escape code",
    }
    place = next((text for start, text in places.items() if error.msg.startswith(start)), "")
    if not place:
        return f"the request body is not JSON: {error}"
    return f"invalid character {error.doc[error.pos]!r} {place}"


def _kind(value: Any) -> str:
    """What Go's decoder calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class Fields:
    """A JSON object read field by field; `null` counts as absent, unknown fields are ignored.

    Only what is in its table can be read, and only as it stands there.
    """

    def __init__(self, values: Json, struct: Struct, path: str = "") -> None:
        self.values = values
        self._struct = struct
        self._path = path

    def has(self, name: str) -> bool:
        """Present and not null."""
        assert name in self._struct.fields, f"{self._struct.name} has no {name}"
        return self.values.get(name) is not None

    def any(self, name: str) -> Any:
        """A value of any kind; None when absent."""
        return self._take(name, "any")

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self._take(name, "text")
        if value is None:
            return default
        if not isinstance(value, str):
            self._refuse(name, value, "string")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        value = self._take(name, "flag")
        if value is None:
            return default
        if not isinstance(value, bool):
            self._refuse(name, value, "bool")
        return value

    def integer(self, name: str) -> int | None:
        """A whole number."""
        value = self._take(name, "integer")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(name, value, "int")
        return value

    def number(self, name: str) -> float | None:
        """A number."""
        value = self._take(name, "number")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, value, "float64")
        return float(value)

    def object(self, name: str) -> Json:
        """An object; empty when absent."""
        value = self._take(name, "object")
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._refuse(name, value, "map[string]interface {}")
        return value

    def nested(self, name: str) -> "Fields":
        """An object with fields of its own; without any when absent."""
        values, struct = self.object(name), self._struct.fields[name].struct
        assert struct is not None, f"{name} has no fields of its own"
        return Fields(values, struct, f"{self._path}{name}.")

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings; empty when absent."""
        values = self._list(name, self._take(name, "texts"), "[]string")
        for value in values:
            if not isinstance(value, str):
                self._refuse(name, value, "string")
        return tuple(values)

    def integers(self, name: str) -> tuple[int, ...]:
        """An array of whole numbers; empty when absent."""
        values = self._list(name, self._take(name, "integers"), "[]int")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int):
                self._refuse(name, value, "int")
        return tuple(values)

    def array(self, name: str) -> list[Any]:
        """An array of anything; empty when absent."""
        return self._list(name, self._take(name, "array"), self._struct.fields[name].go_type)

    def objects(self, name: str) -> list["Fields"]:
        """An array of objects, to be read in turn."""
        value, field = self._take(name, "objects"), self._struct.fields[name]
        assert field.struct is not None
        items = self._list(name, value, field.go_type)
        for item in items:
            if not isinstance(item, dict):
                self._refuse(name, item, field.go_type.removeprefix("[]"))
        return [Fields(item, field.struct, f"{self._path}{name}.") for item in items]

    def _take(self, name: str, kind: Kind) -> Any:
        field = self._struct.fields.get(name)
        assert field is not None, f"{self._struct.name} has no {name}"
        assert field.kind == kind, f"{self._struct.name}.{name} is {field.kind}, not {kind}"
        return self.values.get(name)

    def _list(self, name: str, value: Any, go_type: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self._refuse(name, value, go_type)
        return value

    def _refuse(self, name: str, value: Any, go_type: str) -> NoReturn:
        shown = _kind(value)
        if shown == "number" and go_type == "int":
            shown = f"number {json.dumps(value)}"
        raise InvalidInput(
            f"json: cannot unmarshal {shown} into Go struct field "
            f"{self._struct.go_name}.{self._path}{name} of type {go_type}"
        )

"""Tables of the fields that request bodies have: what parsers may read, and what OpenAPI shows.

A table is written once. `Fields` reads no field that is not in it, and only as what it is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal[
    "text", "flag", "integer", "number", "object", "texts", "integers", "array", "objects", "any"
]

_TYPES: dict[Kind, Json] = {
    "text": {"type": "string"},
    "flag": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "object": {"type": "object"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "integers": {"type": "array", "items": {"type": "integer"}},
    "array": {"type": "array"},
    "objects": {"type": "array"},
}
"""In JSON Schema. What is of any kind brings a schema of its own."""


@dataclass(frozen=True)
class Field:
    """One field. `null` counts as absent everywhere, so every schema allows it."""

    kind: Kind
    about: str = ""
    go_type: str = ""
    """Of arrays and objects, in Ollama's source, for the error texts."""
    struct: "Struct | None" = None
    """What an object, or each object of an array, is."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """More of its JSON Schema."""

    def describe(self) -> Json:
        """Its JSON Schema."""
        inner: Json = dict(_TYPES.get(self.kind, {})) | dict(self.schema)
        if self.struct is not None and self.kind == "objects":
            inner["items"] = self.struct.reference
        elif self.struct is not None:
            inner = self.struct.reference
        if "type" in inner and isinstance(inner["type"], str):
            inner["type"] = [inner["type"], "null"]
            if "enum" in inner:
                inner["enum"] = [*inner["enum"], None]
        elif inner:
            inner = {"anyOf": [inner, {"type": "null"}]}
        return inner | ({"description": self.about} if self.about else {})


@dataclass(frozen=True)
class Struct:
    """A JSON object's fields by name."""

    name: str
    """In the OpenAPI document."""
    go_name: str
    """The request's name in Ollama's source, for the error texts."""
    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    """Without which a request is refused."""

    @property
    def reference(self) -> Json:
        """Its place in the OpenAPI document."""
        return {"$ref": f"#/components/schemas/{self.name}"}

    def describe(self) -> Json:
        """Its JSON Schema; fields that are not known are ignored, so they are allowed."""
        properties = {name: each.describe() for name, each in self.fields.items()}
        for name in self.required:
            properties[name] = _without_null(properties[name])
        found: Json = {"type": "object", "properties": properties}
        return found | ({"required": list(self.required)} if self.required else {})

    def inner(self) -> "dict[str, Struct]":
        """All structs that this one needs, itself included, by name."""
        found = {self.name: self}
        for each in self.fields.values():
            if each.struct is not None and each.struct.name not in found:
                found |= each.struct.inner()
        return found


def _without_null(schema: Json) -> Json:
    if isinstance(schema.get("type"), list):
        return schema | {"type": schema["type"][0]}
    return next(iter(schema["anyOf"])) if "anyOf" in schema else schema


def text(about: str = "", *choices: str) -> Field:
    """A string, of `choices` only where there are any."""
    return Field("text", about, schema={"enum": list(choices)} if choices else {})


def flag(about: str = "", *, default: bool | None = None) -> Field:
    """True or false."""
    return Field("flag", about, schema={} if default is None else {"default": default})


def integer(about: str = "", low: int | None = None, high: int | None = None) -> Field:
    """A whole number."""
    return Field("integer", about, schema=_bounds(low, high))


def number(about: str = "", low: float | None = None, high: float | None = None) -> Field:
    """A number."""
    return Field("number", about, schema=_bounds(low, high))


def _bounds(low: float | None, high: float | None) -> Json:
    found: Json = {} if low is None else {"minimum": low}
    return found | ({} if high is None else {"maximum": high})


def anything(about: str, **schema: Any) -> Field:
    """What a parser looks at for itself."""
    return Field("any", about, schema=schema)


def array(go_type: str, about: str = "", **schema: Any) -> Field:
    """An array of anything."""
    return Field("array", about, go_type, schema=schema)


def objects(struct: Struct, go_type: str, about: str = "", **schema: Any) -> Field:
    """An array of objects."""
    return Field("objects", about, go_type, struct, schema)


def nested(struct: Struct, about: str = "") -> Field:
    """An object with fields of its own."""
    return Field("object", about, struct=struct)


def mapping(about: str = "", **schema: Any) -> Field:
    """An object with any fields."""
    return Field("object", about, schema=schema)


TEXTS = Field("texts")
INTEGERS = Field("integers")

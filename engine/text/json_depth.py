"""Bounds how deep JSON inside a grammar may nest, so that a model cannot open brackets for ever.

A schema leaves depth open in two ways: where it allows any value, and where it refers to itself.
Both are replaced by a chain of definitions, one for each level, whose last allows no more nesting.
Where a schema intersects others (`allOf`), open values stay open: chains multiply there.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

MAX_DEPTH = 16
"""Levels of brackets in a value that the schema does not describe, and turns of a recursion."""

_ANY = "any_{}"
_PLACES = ("$defs", "definitions")
_SINGLE = ("items", "additionalProperties", "additionalItems")
_MANY = ("anyOf", "allOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties")


def bound_depth(schema: Any) -> Any:
    """The schema with an end: what it allows is the same up to `MAX_DEPTH` levels."""
    if not isinstance(schema, dict):
        return bound_depth({"anyOf": [schema]})
    defined = {f"#/{place}/{quote(name)}": each for place, name, each in _definitions(schema)}
    defined["#"] = {name: value for name, value in schema.items() if name not in _PLACES}
    recursive = {ref for ref in defined if ref in _reachable(ref, defined)}
    is_closed = not _has_key(schema, "allOf")
    definitions = {_ANY.format(level): _any_value(level) for level in range(MAX_DEPTH + 1)}
    for ref, each in defined.items():
        if ref in recursive:
            for level in range(MAX_DEPTH):
                definitions[_key(ref, level)] = _bound(each, recursive, level + 1, is_closed)
        elif ref != "#":
            definitions[_key(ref, 0)] = _bound(each, recursive, 0, is_closed)
    root = _bound(defined["#"], recursive, int("#" in recursive), is_closed)
    return {**root, "$defs": definitions}


def _definitions(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for place in _PLACES:
        for name, each in schema.get(place, {}).items():
            yield place, name, each


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _has_key(schema: Any, key: str) -> bool:
    if isinstance(schema, dict):
        return key in schema or any(_has_key(value, key) for value in schema.values())
    return isinstance(schema, list) and any(_has_key(value, key) for value in schema)


def _reachable(ref: str, defined: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [ref]
    while waiting:
        new = set(_references(defined.get(waiting.pop()))) - found
        found |= new
        waiting += new
    return found


def _any_value(level: int) -> dict[str, Any]:
    simple = ["string", "number", "boolean", "null"]
    if level == 0:
        return {"type": simple}
    inner = {"$ref": f"#/$defs/{_ANY.format(level - 1)}"}
    return {"type": [*simple, "array", "object"], "items": inner, "additionalProperties": inner}


def _bound(schema: Any, recursive: set[str], level: int, is_closed: bool) -> Any:
    """One schema whose references into a recursion go to `level`, and nowhere beyond the last."""
    if is_closed and (schema is True or schema == {}):
        return {"$ref": f"#/$defs/{_ANY.format(MAX_DEPTH)}"}
    if not isinstance(schema, dict):
        return schema
    ref = schema.get("$ref")
    if ref in recursive and level == MAX_DEPTH:
        return False
    bound = _map_inside(schema, lambda each: _bound(each, recursive, level, is_closed))
    if isinstance(ref, str) and ref.startswith("#"):
        bound["$ref"] = f"#/$defs/{_level_name(ref, level if ref in recursive else 0)}"
    return _close(bound) if is_closed else bound


def _map_inside(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The schema with each schema directly in it changed."""
    changed = dict(schema)
    for name in _SINGLE:
        if name in schema:
            changed[name] = change(schema[name])
    for name in _MANY:
        if isinstance(schema.get(name), list):
            changed[name] = [change(each) for each in schema[name]]
    for name in _NAMED:
        if isinstance(schema.get(name), dict):
            changed[name] = {key: change(each) for key, each in schema[name].items()}
    return changed


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    """With a bounded value where an object's or array's contents are left open."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    anything = {"$ref": f"#/$defs/{_ANY.format(MAX_DEPTH - 1)}"}
    if "object" in kinds or "properties" in schema:
        schema.setdefault("additionalProperties", anything)
    if "array" in kinds:
        schema.setdefault("items", anything)
    return schema


def _level_name(ref: str, level: int) -> str:
    """As references write it; `_key` is the same as the definitions have it."""
    return f"{ref.rpartition('/')[2].replace('#', 'whole')}_{level}"


def _key(ref: str, level: int) -> str:
    return unquote(_level_name(ref, level))

"""The kinds of tools that the tool skill draws from, read from `tool_kinds.toml`."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.pocket.dialogue import Split
from scripts.pocket.skills.tool_values import Make, make_values

Value = str | int | bool


@dataclass(frozen=True)
class Parameter:
    """One argument: the slot of the request that it fills and how its value is drawn."""

    slot: str
    type: str
    names: tuple[str, ...]
    make: Make | None
    description: str = ""
    choices: tuple[str, ...] = ()
    name: str = ""

    def draw(self, rng: random.Random, split: Split) -> tuple[Value, str]:
        """A value for the call and its words in the request."""
        if self.make is None:
            value = rng.choice(self.choices)
            return value, value
        text = self.make(rng, split)
        if self.type == "boolean":
            return text == "on", text
        return (int(text), text) if self.type in ("integer", "number") else (text, text)


@dataclass(frozen=True)
class Result:
    """What a tool returns and the sentence that tells it."""

    key: str
    make: Make
    answer: str


@dataclass(frozen=True)
class Kind:
    """A family of tools; kinds of one `group` are near enough that one may do the other's work."""

    group: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...]
    nouns: tuple[str, ...] = ()
    result: Result | None = None


def parse_parameter(table: dict[str, Any]) -> Parameter:
    return Parameter(
        table["slot"],
        table["type"],
        tuple(table["names"]),
        make_values(table["values"]) if "values" in table else None,
        table.get("description", ""),
        tuple(table.get("choices", ())),
    )


def parse_kind(table: dict[str, Any], parameters: dict[str, Parameter]) -> Kind:
    result = table.get("result")
    return Kind(
        table["group"],
        tuple(table["names"]),
        tuple(table["descriptions"]),
        tuple(parameters[name] for name in table["parameters"]),
        tuple(table["requests"]),
        tuple(table.get("nouns", ())),
        result and Result(result["key"], make_values(result["values"]), result["answer"]),
    )


def read_kinds(path: Path) -> tuple[Kind, ...]:
    tables = tomllib.loads(path.read_text())
    parameters = {name: parse_parameter(table) for name, table in tables["parameters"].items()}
    return tuple(parse_kind(table, parameters) for table in tables["kinds"])


KINDS = read_kinds(Path(__file__).with_suffix(".toml"))

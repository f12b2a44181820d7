"""The tools that a dialogue offers: kinds with drawn names, descriptions and argument names.

A fifth of the written kinds is held out whole, with its names, descriptions and requests; made-up
kinds draw their nouns, words and values from their share.
"""

import random
from dataclasses import dataclass
from typing import Any

from scripts.pocket import words
from scripts.pocket.dialogue import Message, Split
from scripts.pocket.skills.tool_kinds import KINDS_OF, Kind, Parameter, made_up_kind

MADE_UP_KINDS = 0.35
MADE_UP_NAMES = 0.2
OTHER_NAMES = {
    "get": ("fetch", "read", "lookup", "check"),
    "set": ("change", "adjust", "update"),
    "find": ("search", "lookup", "locate"),
    "create": ("make", "add", "new"),
    "add": ("create", "put", "insert"),
    "start": ("begin", "launch", "run"),
    "send": ("deliver", "write"),
    "book": ("reserve", "order"),
    "check": ("get", "read", "test"),
    "open": ("show", "view"),
    "list": ("show", "get"),
    "log": ("track", "save", "record"),
}


@dataclass(frozen=True)
class Tool:
    """A kind of tool with its drawn name, description, argument names and choices."""

    kind: Kind
    name: str
    about: str
    names: dict[str, str]
    choices: dict[str, tuple[str, ...]]
    nouns: dict[str, str]
    is_told: bool

    def schema(self, p: Parameter) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": p.type}
        if self.choices[p.slot]:
            schema["enum"] = list(self.choices[p.slot])
        if self.is_told or self.names[p.slot] != p.slot:
            schema["description"] = "The " + p.slot.replace("_", " ")
        return schema

    def as_json(self) -> Message:
        properties = {self.names[p.slot]: self.schema(p) for p in self.kind.parameters}
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        function = {"name": self.name, "description": self.about, "parameters": parameters}
        return {"type": "function", "function": function}


def in_style(rng: random.Random, name: str) -> str:
    """snake_case as it is, or camelCase, dotted, with dashes or in PascalCase."""
    parts = name.split("_")
    style = rng.random()
    if style < 0.68:
        return name
    if style < 0.86:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    if style < 0.92:
        return ".".join(parts)
    return "-".join(parts) if style < 0.96 else "".join(part.capitalize() for part in parts)


def tool_name(rng: random.Random, split: Split, kind: Kind, nouns: dict[str, str]) -> str:
    if split == "train" and rng.random() < MADE_UP_NAMES / 2:
        return "_".join(made_up_part(rng) for _ in range(rng.choice((1, 2, 2))))
    name = rng.choice(kind.names).format(**{k: v.replace(" ", "_") for k, v in nouns.items()})
    head, _, rest = name.partition("_")
    if rest and rng.random() < 0.3:
        name = f"{rng.choice((head, *OTHER_NAMES.get(head, ())))}_{rest}"
    return in_style(rng, name)


def made_up_part(rng: random.Random) -> str:
    """Part of a name that says nothing: it has to be read, not known."""
    return rng.choice(words.COMMON) if rng.random() < 0.6 else words.new_word(rng, "train")


def make_tool(rng: random.Random, split: Split, kind: Kind) -> Tool:
    nouns = {"noun": rng.choice(kind.nouns)} if kind.nouns else {}
    if kind.nouns and rng.random() < 0.25:
        nouns["noun"] = words.new_word(rng, split)
    names = {}
    for p in kind.parameters:
        is_made_up = split == "train" and rng.random() < MADE_UP_NAMES / 2
        names[p.slot] = made_up_part(rng) if is_made_up else p.slot
        if not is_made_up and rng.random() < 0.15:
            names[p.slot] = f"{p.slot}_{rng.choice(('name', 'value', 'id', 'arg'))}"
    choices = {
        p.slot: tuple(rng.sample(p.choices, rng.randint(2, len(p.choices)))) if p.choices else ()
        for p in kind.parameters
    }
    about = rng.choice(kind.about).format(**nouns)
    if rng.random() < 0.06:
        about = about.lower() + "."
    name = tool_name(rng, split, kind, nouns)
    return Tool(kind, name, about, names, choices, nouns, rng.random() < 0.6)


def draw_kinds(rng: random.Random, split: Split, count: int) -> list[Kind]:
    """Kinds of different groups; made-up ones often share a noun, so that the verb decides."""
    if rng.random() < MADE_UP_KINDS:
        near = (words.new_word(rng, split),) if rng.random() < 0.3 else ()
        kinds = [made_up_kind(rng, split, near) for _ in range(count)]
        if rng.random() < 0.3 and count > 1:
            kinds[-1] = rng.choice(KINDS_OF[split])
    else:
        kinds = rng.sample(KINDS_OF[split], count)
    return kinds if len({k.group for k in kinds}) == count else draw_kinds(rng, split, count)


def draw_tools(rng: random.Random, split: Split) -> list[Tool]:
    kinds = draw_kinds(rng, split, rng.choice((1, 2, 2, 3, 3, 4)))
    tools = [make_tool(rng, split, kind) for kind in kinds]
    lists = [[t.name for t in tools], *(list(t.names.values()) for t in tools)]
    is_clear = all(len(set(names)) == len(names) for names in lists)
    return tools if is_clear else draw_tools(rng, split)

"""The kinds of tools that the tool skill draws from: written ones and made-up ones."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.pocket import words
from scripts.pocket.dialogue import Split, pick, share
from scripts.pocket.skeletons import SLOT
from scripts.pocket.skills.extraction import ATTRIBUTES
from scripts.pocket.skills.values import Make, Value, make_values

NUMBERS = ("integer", "signed")
DECIMALS = ("decimal", "count")
LISTS = ("items", "foods", "people", "words", "languages")


@dataclass(frozen=True)
class Parameter:
    """One argument: the slot of the request that it fills, and the sort of its value or its choices."""

    slot: str
    sort: str = ""
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        head = self.sort.split(" ")[0]
        if head in NUMBERS:
            return "integer"
        if head == "switch":
            return "boolean"
        if head in LISTS:
            return "array"
        return "number" if head in DECIMALS else "string"

    def draw(self, rng: random.Random, split: Split, choices: tuple[str, ...]) -> Value:
        if choices:
            choice = rng.choice(choices)
            return Value(choice.replace("_", " "), choice)
        return make_values(self.sort)(rng, split)


@dataclass(frozen=True)
class Result:
    """What a tool returns under a key, and the sentence that tells it."""

    key: str
    make: Make
    answer: str


@dataclass(frozen=True)
class Kind:
    """A family of tools; kinds of one `group` are near enough that one may do the other's work."""

    group: str
    names: tuple[str, ...]
    about: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...]
    nouns: tuple[str, ...] = ()
    result: Result | None = None


def parse_parameter(text: str) -> Parameter:
    slot, sort = text.split(":")
    if "/" in sort:
        return Parameter(slot, choices=tuple(sort.split("/")))
    return Parameter(slot, " ".join(sort.split("_")))


def parse_kind(table: dict[str, Any]) -> Kind:
    result = table.get("result")
    return Kind(
        table["group"],
        tuple(table["names"]),
        tuple(table["about"]),
        tuple(parse_parameter(part) for part in table["args"].split()),
        tuple(table["ask"]),
        tuple(table.get("nouns", ())),
        result
        and Result(result["key"], make_values(result["sort"].replace("_", " ")), result["answer"]),
    )


def parse_line(name: str, line: list[str]) -> Kind:
    about, args, *requests = line
    return parse_kind(
        {"group": name, "names": [name], "about": [about], "args": args, "ask": requests}
    )


def read_kinds(folder: Path) -> tuple[Kind, ...]:
    base = tomllib.loads((folder / "tool_kinds_base.toml").read_text())["kinds"]
    more = tomllib.loads((folder / "tool_kinds_more.toml").read_text())
    lines = [parse_line(name, line) for table in more.values() for name, line in table.items()]
    return (*(parse_kind(table) for table in base), *lines)


KINDS = read_kinds(Path(__file__).parent)
KINDS_OF: dict[Split, list[Kind]] = {
    split: list(share(KINDS, split)) for split in ("train", "held_out")
}
# Verbs of made-up tools with other words for the same deed.
VERBS = (
    *("get fetch show read", "create make add", "delete remove erase", "update change edit"),
    *("list show", "send deliver", "start begin launch", "stop end halt", "cancel", "check test"),
    *("count", "export", "import", "archive", "approve accept", "reject refuse", "open", "close"),
    *("print", "scan", "move shift", "copy duplicate", "rename", "merge join", "split divide"),
    *("convert turn", "reserve book", "rate grade", "tag label", "share", "upload", "pause"),
    *("resume continue", "measure", "calibrate adjust", "assign", "restore recover", "publish"),
    *("find search", "lock", "unlock", "rotate turn", "mix blend", "order buy", "sell", "inspect"),
    *("register enroll", "compare", "verify confirm", "translate", "log record", "clean", "paint"),
    *(
        "schedule plan",
        "repair fix",
        "weigh",
        "refill fill",
        "charge",
        "encrypt",
        "enable",
        "disable",
    ),
)
NOUNS = """invoice report customer ticket project document account session robot machine camera sensor
engine valve pump garden room order parcel shipment contract lesson course exam student patient
recipe meal table playlist song album photo video backup server database record image folder note
booking flight train route map ticket device battery printer drone elevator gate window job task
budget payment card coupon subscription member team meeting interview survey form license key vehicle
tank boiler filter conveyor package pallet shelf warehouse store menu review comment article page
campaign lead deal quote offer claim policy case file sample test specimen culture telescope antenna
satellite probe rover turbine reactor oven freezer kettle lamp curtain alarm fence field crop herd
hive orchard vineyard harbor ship boat crane truck wagon signal bridge tunnel""".split()
ABOUT = (
    "{Verb} a {noun}", "{Verb} the {noun}", "{Verb}s a {noun}", "Use this to {verb} a {noun}",
    "Can {verb} {noun} data", "{Noun}: {verb}", "To {verb} one {noun}", "Tool to {verb} a {noun}",
)  # fmt: skip
OBJECTS = ("the {noun}", "a {noun}", "the {noun}", "my {noun}", "one {noun}", "this {noun}")
GIVEN = (
    "with {key} {value}", "with the {key} {value}", "{key} {value}", "{key}: {value}", "{key} = {value}",
    "the {key} is {value}", "and use {value} as {key}", "using {key} {value}", "where {key} is {value}",
    "set {key} to {value}", "with {value} as the {key}", "({key} {value})", "the {key} should be {value}",
    "for {key} {value}", "having {key} {value}",
)  # fmt: skip


def made_up_kind(rng: random.Random, split: Split, nouns: tuple[str, ...] = ()) -> Kind:
    """A verb with a noun and any parameters; near ones share `nouns`."""
    verbs = rng.choice(VERBS).split()
    noun = rng.choice(nouns) if nouns else words.one_of(rng, NOUNS, split)
    verb, said = verbs[0], rng.choice(verbs)
    drawn = {draw_parameter(rng, split) for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))}
    parameters = tuple(sorted(drawn, key=lambda p: p.slot))
    slots = [p.slot for p in parameters]
    if len(set(slots)) < len(slots) or noun in slots:
        return made_up_kind(rng, split, nouns)
    form = {"verb": verb, "noun": noun, "Verb": verb.capitalize(), "Noun": noun.capitalize()}
    about = rng.choice(ABOUT).format(**form)
    joint = rng.choice((", ", " ", ", ", " and "))
    rng.shuffle(slots)
    told = (
        (
            " "
            + joint.join(
                pick(rng, GIVEN, split)
                .replace("{key}", slot.replace("_", " "))
                .replace("{value}", f"{{{slot}}}")
                for slot in slots
            )
        )
        if slots
        else ""
    )
    request = f"{said.capitalize()} {rng.choice(OBJECTS).format(noun=noun)}{told}."
    return Kind(f"{verb} {noun}", (f"{verb}_{noun}",), (about,), parameters, (request,))


def draw_parameter(rng: random.Random, split: Split) -> Parameter:
    if rng.random() < 0.15:
        choices: set[str] = set()
        count = rng.randint(2, 4)
        while len(choices) < count:
            choices.add(words.new_word(rng, split))
        slot = rng.choice(("mode", "type", "level", "kind", "format", "method"))
        return Parameter(slot, choices=tuple(sorted(choices)))
    noun, sort = rng.choice(ATTRIBUTES)
    sort = {"price": "integer 1 900", "measure": "integer 1 500", "mass": "integer 1 200"}.get(
        sort, sort
    )
    sort = {"span": "integer 1 90"}.get(sort, sort)
    return Parameter(words.new_word(rng, split) if rng.random() < 0.2 else noun, sort)


def slots_of(skeleton: str) -> set[str]:
    return set(SLOT.findall(skeleton))

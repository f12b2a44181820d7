"""Extraction: one to three sentences in, a JSON object with the asked keys out.

Sentences state facts of one or two domains, or give values to any nouns at all, made-up ones
included; asked keys that no sentence states are null. Sentence forms and phrasings are split by
`share`, values by `share` and `is_held_out`.
"""

import json
import random
import tomllib
from pathlib import Path

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, pick, user
from scripts.pocket.skeletons import SLOT, expand, fill, phrase, say
from scripts.pocket.skills.extraction_phrasings import (
    ASK,
    CLAUSES,
    FILLERS,
    LISTED,
    NEXT,
    SCHEMAS,
    SHAPE_SYSTEMS,
    SHAPED,
    SYSTEMS,
)
from scripts.pocket.skills.values import Json, Value, make_values

TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
SORTS: dict[str, str] = TABLES["sorts"]
OTHER_NAMES: dict[str, list[str]] = TABLES["other_names"]
FLAGS: dict[str, list[list[str]]] = TABLES["flags"]
DOMAINS: dict[str, list[str]] = TABLES["domains"]
ATTRIBUTES = [
    (noun, sort) for sort, nouns in TABLES["attributes"].items() for noun in nouns.split()
]
PLACEHOLDERS = ("...", "", "?", "string", "<{key}>", "{key}", None)
SCHEMA_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}
MISSING_SHARE = 0.22

Record = dict[str, Value]


def say_facts(rng: random.Random, split: Split, form: str, record: Record) -> str:
    """The sentence of a form; what it states comes into `record`, which may know some values."""
    skeleton = expand(rng, form)
    for key in SLOT.findall(skeleton):
        if key not in record:
            record[key] = make_values(SORTS[key])(rng, split)
    return fill(capitalized(skeleton), {key: value.said for key, value in record.items()})


def capitalized(skeleton: str) -> str:
    """A value at the beginning keeps its letters, as the answer has them."""
    return skeleton[0].upper() + skeleton[1:]


def domain_text(rng: random.Random, split: Split) -> tuple[list[str], Record]:
    """One or two sentences of a domain, sometimes one of another, and a flag."""
    name = rng.choice(list(DOMAINS))
    record: Record = {}
    sentences = [say_facts(rng, split, pick(rng, DOMAINS[name], split), record)]
    if rng.random() < 0.3:
        other = pick(rng, DOMAINS[rng.choice(list(DOMAINS))], split)
        if not set(SLOT.findall(other)) & set(record):
            sentences.append(say_facts(rng, split, other, record))
    if rng.random() < 0.25:
        flag = rng.choice(list(FLAGS))
        meant = rng.random() < 0.5
        sentences.append(pick(rng, FLAGS[flag][0 if meant else 1], split))
        record[flag] = Value("", meant)
    return sentences, renamed(rng, record)


def renamed(rng: random.Random, record: Record) -> Record:
    """Some keys under another name of theirs."""
    named: Record = {}
    for key, value in record.items():
        other = rng.choice(OTHER_NAMES.get(key, [key]))
        named[other if other not in record and other not in named else key] = value
    return named


def any_noun(rng: random.Random, split: Split) -> tuple[str, str]:
    """A noun, often made up or of two words, and the sort of its value."""
    noun, sort = rng.choice(ATTRIBUTES)
    kind = rng.random()
    if kind < 0.2:
        noun = words.new_word(rng, split)
    elif kind < 0.45:
        noun = f"{rng.choice(words.COMMON)} {noun.replace('_', ' ')}"
    return noun.replace("_", " "), sort


def as_key(rng: random.Random, noun: str) -> str:
    parts = noun.split(" ")
    if len(parts) == 1:
        return noun
    style = rng.random()
    if style < 0.6:
        return "_".join(parts)
    if style < 0.8:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    return " ".join(parts)


def noun_text(rng: random.Random, split: Split) -> tuple[list[str], Record]:
    """Sentences that give values to two to six nouns."""
    record: Record = {}
    clauses: list[tuple[str, str]] = []
    is_form = rng.random() < 0.2
    while len(record) < rng.choice((2, 3, 3, 4, 5, 6)):
        noun, sort = any_noun(rng, split)
        value = make_values(sort)(rng, split)
        key = as_key(rng, noun)
        if key in record:
            continue
        record[key] = value
        clause = "{key}: {value}" if is_form else pick(rng, CLAUSES, split)
        shown = noun.capitalize() if is_form and rng.random() < 0.5 else noun
        skeleton = fill(expand(rng, clause), {"key": shown, "value": "{value}"})
        clauses.append((skeleton, value.said))
    if is_form:
        lines = [fill(skeleton, {"value": said}) for skeleton, said in clauses]
        return [rng.choice(("\n", ", ", "; ", "\n- ")).join(lines)], record
    return joined_clauses(rng, clauses), record


def joined_clauses(rng: random.Random, clauses: list[tuple[str, str]]) -> list[str]:
    sentences = []
    while clauses:
        count = rng.choice((1, 1, 2, 3))
        texts = []
        for i, (skeleton, said) in enumerate(clauses[:count]):
            texts.append(fill(skeleton if i else capitalized(skeleton), {"value": said}))
        del clauses[:count]
        text = rng.choice((", ", " and ", "; ", ", and ")).join(texts)
        sentences.append(text + rng.choice((".", ".", ".", "!")))
    return sentences


def draw_text(rng: random.Random, split: Split) -> tuple[str, Record]:
    sentences, record = (domain_text if rng.random() < 0.6 else noun_text)(rng, split)
    if rng.random() < 0.3:
        rng.shuffle(sentences)
    filler = rng.choice(FILLERS) if rng.random() < 0.25 else ""
    return filler + " ".join(sentences), record


def asked_keys(rng: random.Random, record: Record) -> list[str]:
    keys = list(record)
    most = min(6, len(keys))
    count = rng.randint(1, most) if rng.random() < 0.6 else most
    asked = rng.sample(keys, count)
    if rng.random() < 0.35:
        asked.sort(key=keys.index)
    if rng.random() < MISSING_SHARE:
        missing = rng.choice(
            (rng.choice(ATTRIBUTES)[0], rng.choice(list(SORTS)), rng.choice(list(FLAGS)))
        )
        if missing not in record and not names_of(missing) & set(record):
            asked.insert(rng.randint(0, len(asked)), missing)
    return asked


def names_of(key: str) -> set[str]:
    """Keys that mean the same or nearly so."""
    groups = [set(names) | {known} for known, names in OTHER_NAMES.items()]
    return {key}.union(*(group for group in groups if key in group))


def list_keys(rng: random.Random, keys: list[str]) -> str:
    quote = rng.choice(("", "", "", '"', "`", "'"))
    article = "the " if not quote and rng.random() < 0.15 else ""
    quoted = [article + quote + key + quote for key in keys]
    if rng.random() < 0.55:
        return words.join_and(quoted)
    text = rng.choice((", ", ", ", ",")).join(quoted)
    return rng.choice(("[{}]", "{{{}}}", "({})")).format(text) if rng.random() < 0.1 else text


def example_object(rng: random.Random, keys: list[str]) -> str:
    holder = rng.choice(PLACEHOLDERS)
    return json.dumps({key: holder and holder.replace("{key}", key) for key in keys})


def schema(rng: random.Random, keys: list[str], record: Record) -> str:
    properties = {}
    for key in keys:
        meant = record[key].meant if key in record else "text"
        name = SCHEMA_TYPES[type(meant)]
        if name == "integer" and rng.random() < 0.4:
            name = "number"
        items = {"items": {"type": "string"}} if name == "array" else {}
        properties[key] = {"type": name, **items}
    whole: dict[str, object] = {"type": "object", "properties": properties}
    if rng.random() < 0.5:
        whole["required"] = keys
    indent = 2 if rng.random() < 0.2 else None
    return json.dumps(whole if rng.random() < 0.8 else properties, indent=indent)


def bullets(rng: random.Random, keys: list[str]) -> str:
    mark = rng.choice(("- ", "- ", "* ", "{i}. "))
    return "\n".join(mark.replace("{i}", str(i)) + key for i, key in enumerate(keys, 1))


def gold(keys: list[str], record: Record) -> Message:
    values: dict[str, Json] = {key: record[key].meant if key in record else None for key in keys}
    return assistant(json.dumps(values, ensure_ascii=False))


def in_prompt(rng: random.Random, split: Split) -> list[Message]:
    text, record = draw_text(rng, split)
    keys = asked_keys(rng, record)
    kind = rng.random()
    values = {"text": text}
    skeletons: tuple[str, ...]
    if kind < 0.6:
        skeletons, values["keys"] = ASK, list_keys(rng, keys)
    elif kind < 0.7:
        skeletons, values["list"] = LISTED, bullets(rng, keys)
    elif kind < 0.86:
        skeletons, values["shape"] = SHAPED, example_object(rng, keys)
    else:
        skeletons, values["shape"] = SCHEMAS, schema(rng, keys, record)
    return [user(say(rng, skeletons, split, values)), gold(keys, record)]


def in_system(rng: random.Random, split: Split) -> list[Message]:
    """The keys stand in the system prompt and the user writes only texts."""
    text, record = draw_text(rng, split)
    keys = asked_keys(rng, record)
    kind = rng.random()
    if kind < 0.5:
        system = fill(expand(rng, pick(rng, SYSTEMS, split)), {"keys": list_keys(rng, keys)})
    else:
        shape = example_object(rng, keys) if kind < 0.75 else schema(rng, keys, record)
        system = fill(expand(rng, pick(rng, SHAPE_SYSTEMS, split)), {"shape": shape})
    return [{"role": "system", "content": system}, user(text), gold(keys, record)]


def same_keys_again(rng: random.Random, split: Split) -> list[Message]:
    """Two or three texts of one form, asked for with the same keys."""
    form = pick(rng, DOMAINS[rng.choice(list(DOMAINS))], split)
    messages: list[Message] = []
    keys: list[str] = []
    for _ in range(rng.choice((2, 2, 3))):
        record: Record = {}
        text = say_facts(rng, split, form, record)
        if not keys:
            keys = asked_keys(rng, record)
            asked = say(rng, ASK, split, {"keys": list_keys(rng, keys), "text": text})
        else:
            asked = fill(phrase(rng, NEXT, split), {"text": text})
        messages += [user(asked), gold(keys, record)]
    return messages


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    makes = (in_prompt, in_system, same_keys_again)
    return Dialogue(rng.choices(makes, (80, 12, 8))[0](rng, split), check="json")

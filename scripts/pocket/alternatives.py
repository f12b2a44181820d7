"""Phrasings with alternatives: `<a|b|>` is one of its parts and `{slot}` a value filled in later.

Every fifth template of a list is held out (`share`), with all of its alternatives.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from scripts.pocket.dialogue import Split, pick

# A parsed template: text, or the alternatives of a choice, each a sequence of nodes.
Node = str | tuple[tuple["Node", ...], ...]

SLOT = re.compile(r"\{(\w+)\}")
OPENINGS = (
    *("Hi, ", "Hello! ", "Hey, ", "OK, ", "Please: ", "Now, ", "So, ", "Hey Pocket, ", "Well, "),
    *("One more thing: ", "Good morning! ", "Alright, ", "Quick one: ", "Hi there! ", "Next: "),
)


def parse_nodes(template: str, at: int, closing: str) -> tuple[tuple[Node, ...], int]:
    """Nodes from `at` up to a mark of `closing`, and the place of that mark."""
    nodes: list[Node] = []
    start = at
    while at < len(template) and template[at] not in closing:
        if template[at] != "<":
            at += 1
            continue
        nodes.append(template[start:at])
        alternatives = []
        while template[at] != ">":
            alternative, at = parse_nodes(template, at + 1, "|>")
            alternatives.append(alternative)
        nodes.append(tuple(alternatives))
        at += 1
        start = at
    nodes.append(template[start:at])
    return tuple(nodes), at


@cache
def parse(template: str) -> tuple[Node, ...]:
    return parse_nodes(template, 0, "")[0]


def choose(rng: random.Random, nodes: tuple[Node, ...]) -> str:
    return "".join(
        node if isinstance(node, str) else choose(rng, rng.choice(node)) for node in nodes
    )


def expand(rng: random.Random, template: str) -> str:
    """One text of a template; slots stay.

    >>> expand(random.Random(1), "<Say|Tell me> {text}<.|>") in ("Say {text}", "Tell me {text}.")
    True
    """
    return choose(rng, parse(template))


def fill(skeleton: str, values: Mapping[str, str]) -> str:
    """Puts the values into the slots; marks inside a value stay as they are."""
    return SLOT.sub(lambda found: values[found[1]], skeleton)


def loosen(rng: random.Random, skeleton: str) -> str:
    """Sometimes in small letters, without the last mark or after a greeting, as people type."""
    if rng.random() < 0.12:
        skeleton = skeleton.lower()
    elif rng.random() < 0.06:
        skeleton = skeleton[:1].lower() + skeleton[1:]
    if rng.random() < 0.12 and skeleton.endswith((".", "?", "!")):
        skeleton = skeleton[:-1]
    if rng.random() < 0.07:
        skeleton = rng.choice(OPENINGS) + skeleton
    return skeleton


def phrase(rng: random.Random, templates: Sequence[str], split: Split) -> str:
    """A loosened skeleton of a template that belongs to `split`."""
    return loosen(rng, expand(rng, pick(rng, templates, split)))


def say(
    rng: random.Random, templates: Sequence[str], split: Split, values: Mapping[str, str]
) -> str:
    return fill(phrase(rng, templates, split), values)

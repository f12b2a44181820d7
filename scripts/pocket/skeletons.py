"""Templates, in the notation of `phrasing`, that are split by `share` and typed loosely.

Every fifth template of a list is held out, with all of its alternatives. Values go into the open
slots last, exactly as they are.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from scripts.pocket.dialogue import Split, pick
from scripts.pocket.phrasing import Phrase, parse

SLOT = re.compile(r"\{(\w+)\}")
OPENINGS = (
    *("Hi, ", "Hello! ", "Hey, ", "OK, ", "Please: ", "Now, ", "So, ", "Hey Pocket, ", "Well, "),
    *("One more thing: ", "Good morning! ", "Alright, ", "Quick one: ", "Hi there! ", "Next: "),
)


@cache
def parsed(template: str) -> Phrase:
    return parse(template)


def expand(rng: random.Random, template: str) -> str:
    """One text of a template; slots stay.

    >>> expand(random.Random(1), "<Say|Tell me> {text}<.|>") in ("Say {text}", "Tell me {text}.")
    True
    """
    return parsed(template).skeleton(rng)


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

"""Values of the tool skill's parameters and results, each drawn from its share."""

import random
from collections.abc import Callable

from scripts.pocket import words
from scripts.pocket.dialogue import Split
from scripts.pocket.skills import copy_texts

Make = Callable[[random.Random, Split], str]

ROOMS = (
    "kitchen bedroom bathroom garage hall office garden cellar balcony attic lounge porch".split()
)
SKIES = "sunny rainy cloudy windy snowy foggy stormy clear cold warm".split()
FILE_TYPES = ("txt", "md", "py", "csv", "json", "log")


def phrase(rng: random.Random, split: Split) -> str:
    """One to five words to search for or to write down."""
    makes: tuple[Make, ...] = (lambda r, _: r.choice(words.COMMON), words.thing, words.new_word)
    return " ".join(rng.choice(makes)(rng, split) for _ in range(rng.randint(1, 5)))


def clock(rng: random.Random, _: Split) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randrange(0, 60, 5):02}"


def file_name(rng: random.Random, split: Split) -> str:
    return f"{words.new_word(rng, split)}.{rng.choice(FILE_TYPES)}"


def on_off(rng: random.Random, _: Split) -> str:
    return rng.choice(("on", "off"))


def one_of(items: list[str]) -> Make:
    return lambda rng, split: words.one_of(rng, items, split)


MAKES: dict[str, Make] = {
    "city": words.city,
    "clock": clock,
    "color": one_of(words.COLORS),
    "day": one_of(words.DAYS),
    "file_name": file_name,
    "item": one_of(words.ITEMS),
    "new_code": words.new_code,
    "new_word": words.new_word,
    "on_off": on_off,
    "person": words.person,
    "phrase": phrase,
    "room": one_of(ROOMS),
    "sky": one_of(SKIES),
    "thing": words.thing,
    "word": copy_texts.word,
}


def make_values(description: str) -> Make:
    """What a TOML `values` entry names: a key of MAKES, or "integer LOW HIGH"."""
    name, *bounds = description.split()
    if name == "integer":
        low, high = map(int, bounds)
        return lambda rng, split: words.number(rng, split, low, high)
    return MAKES[name]

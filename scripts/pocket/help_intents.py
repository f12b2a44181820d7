"""The facts of the help skill, read from `help_intents/*.toml`, and the ways to ask for them."""

import random
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scripts.pocket.phrasing import Phrase, Phrasings, parse

FOLDER = Path(__file__).with_suffix("")
WORDING = "wording.toml"


@dataclass(frozen=True)
class Intent:
    """One thing that a user may ask.

    `must` is what has to stand in each of the answers verbatim. In the notation of `phrasing`, `ask`
    stands alone and `to_do` completes "how do i ..."; `held_out` is plain text, never trained.
    """

    name: str
    answers: tuple[str, ...]
    must: tuple[str, ...]
    ask: tuple[str, ...]
    held_out: tuple[str, ...]
    to_do: tuple[str, ...] = ()

    @cached_property
    def asked(self) -> Phrasings:
        return Phrasings(self.ask, FRAGMENTS)

    @cached_property
    def done(self) -> Phrasings:
        return Phrasings(self.to_do, FRAGMENTS)

    def draw(self, rng: random.Random) -> str:
        """A training phrasing."""
        asked, done = self.asked.weight, self.done.weight
        if rng.random() * (asked + 1.5 * done) < asked:
            return self.asked.draw(rng)
        return FRAMES.draw(rng, {"do": self.done.draw})


def read_wording(path: Path) -> tuple[dict[str, Phrase], Phrasings]:
    """Fragments that phrasings share, and the frames around what is to be done."""
    table = tomllib.loads(path.read_text())
    fragments = {name: parse(text) for name, text in table["fragments"].items()}
    return fragments, Phrasings(table["frames"], fragments)


def read_intents(path: Path) -> tuple[Intent, ...]:
    tables = tomllib.loads(path.read_text())
    return tuple(
        Intent(name, **{key: tuple(texts) for key, texts in table.items()})
        for name, table in tables.items()
    )


FRAGMENTS, FRAMES = read_wording(FOLDER / WORDING)
INTENTS = tuple(
    intent
    for path in sorted(FOLDER.glob("*.toml"))
    if path.name != WORDING
    for intent in read_intents(path)
)

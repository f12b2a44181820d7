"""Small talk and who `pocket` is, read from `talk.toml`."""

import random
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scripts.pocket.dialogue import Dialogue, Split, assistant, user
from scripts.pocket.phrasing import Phrasings
from scripts.pocket.skills.wording import as_typed, normal


@dataclass(frozen=True)
class Topic:
    """Things said that share their answers; `ask` is in the notation of `phrasing`."""

    answers: tuple[str, ...]
    ask: tuple[str, ...]
    held_out: tuple[str, ...]

    @cached_property
    def asked(self) -> Phrasings:
        """Each of `ask`, parsed."""
        return Phrasings(self.ask)


def read_topics(path: Path) -> dict[str, Topic]:
    """The topics of a TOML file by name."""
    tables = tomllib.loads(path.read_text())
    return {
        name: Topic(tuple(table["answers"]), tuple(table["ask"]), tuple(table["held_out"]))
        for name, table in tables.items()
    }


TALK = read_topics(Path(__file__).with_suffix(".toml"))
HELD_OUT = {normal(text) for topic in TALK.values() for text in topic.held_out}


def say(rng: random.Random, split: Split, topic: Topic) -> str:
    """Something held out is said as it is written; what is trained is never one of those."""
    if split == "held_out":
        return as_typed(rng, rng.choice(topic.held_out), slips=0)
    while True:
        text = topic.asked.draw(rng)
        if normal(text) not in HELD_OUT:
            return as_typed(rng, text, slips=0.08)


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    topic = rng.choice(list(TALK.values()))
    messages = [user(say(rng, split, topic)), assistant(rng.choice(topic.answers))]
    return Dialogue(messages, check="one_of", must=topic.answers)

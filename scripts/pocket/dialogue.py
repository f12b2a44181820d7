"""What a skill makes: a dialogue with its last answer, and the two shares of every list.

Train and held-out never share a phrasing, name or value: `share` gives every fifth item of a
list to the held-out set and the others to training, and `is_held_out` splits made-up values
(numbers, invented words) by a hash of their text.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Split = Literal["train", "held_out"]
Message = dict[str, Any]
Check = Literal["exact", "contains", "one_of", "matches", "json", "calls", "no_call"]

HELD_OUT_EVERY = 5


@dataclass(frozen=True)
class Dialogue:
    """Messages that end with the wanted assistant message.

    `check` says how an answer is judged: `exact` the same text, `one_of` a text of `must`,
    `contains` every string of `must`, `matches` every regular expression of `must`, `json` the same object, `calls` the same tool calls, `no_call` text without a call.
    """

    messages: list[Message]
    tools: list[Message] = field(default_factory=list)
    thinking: bool = False
    thought: str = ""
    check: Check = "exact"
    must: tuple[str, ...] = ()

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def answer(self) -> Message:
        return self.messages[-1]


Skill = Callable[[random.Random, Split], Dialogue]


def share(items: Sequence[T], split: Split) -> Sequence[T]:
    """The part of `items` that belongs to `split`: every fifth item is held out.

    >>> share("abcdefg", "held_out"), share([1, 2, 3, 4, 5, 6], "train")
    ('e', [1, 2, 3, 4, 6])
    """
    assert len(items) >= HELD_OUT_EVERY, items
    if split == "held_out":
        return items[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    return [x for i, x in enumerate(items) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]


def pick(rng: random.Random, items: Sequence[T], split: Split) -> T:
    """One item of the part of `items` that belongs to `split`."""
    return rng.choice(share(items, split))


def is_held_out(value: str) -> bool:
    """Whether a made-up value belongs to the held-out set; about one in five does."""
    return zlib.crc32(value.encode()) % HELD_OUT_EVERY == 0


def draw(rng: random.Random, make: Callable[[random.Random], str], split: Split) -> str:
    """A made-up value of `split`: `make` is called until its text falls on the right side."""
    while True:
        value = make(rng)
        if is_held_out(value) == (split == "held_out"):
            return value


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}

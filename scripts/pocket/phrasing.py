"""Phrasings that share fragments: `<get|fetch|> {model}` draws alternatives and fills slots.

Alternatives nest and may be empty. A phrasing is parsed once; what it can say is counted, so
that a rich one comes more often, but never listed.
"""

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

Draw = Callable[[random.Random], str]
NO_SLOTS: Mapping[str, Draw] = {}
TOKEN = re.compile(r"[<>|]|\{\w+\}|[^<>|{}]+|[{}]")


@dataclass(frozen=True)
class Slot:
    """A place that its drawer fills."""

    name: str


@dataclass(frozen=True)
class Phrase:
    """Parts in order: text, a slot, or alternatives."""

    parts: tuple["str | Slot | Choice", ...]

    @cached_property
    def num_variants(self) -> int:
        """How many texts this can be; a slot counts as one."""
        return math.prod(p.num_variants if isinstance(p, Choice) else 1 for p in self.parts)

    def write(self, rng: random.Random, slots: Mapping[str, Draw], into: list[str]) -> None:
        """Appends the pieces of one text."""
        for part in self.parts:
            if isinstance(part, str):
                into.append(part)
            elif isinstance(part, Slot):
                into.append(slots[part.name](rng))
            else:
                options = part.options
                options[int(rng.random() * len(options))].write(rng, slots, into)

    def draw(self, rng: random.Random, slots: Mapping[str, Draw] = NO_SLOTS) -> str:
        """One text, with single spaces."""
        into: list[str] = []
        self.write(rng, slots, into)
        return " ".join("".join(into).split())

    def skeleton(self, rng: random.Random) -> str:
        """One text with its slots still open and its spaces as they are."""
        into: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                into.append(part)
            elif isinstance(part, Slot):
                into.append(f"{{{part.name}}}")
            else:
                into.append(rng.choice(part.options).skeleton(rng))
        return "".join(into)


@dataclass(frozen=True)
class Choice:
    """Alternatives."""

    options: tuple[Phrase, ...]

    @cached_property
    def num_variants(self) -> int:
        """Of all alternatives together."""
        return sum(option.num_variants for option in self.options)


def parse(text: str, fragments: Mapping[str, Phrase] | None = None) -> Phrase:
    """`{name}` is the fragment of that name, if there is one, else a slot.

    >>> parse("<get|fetch> it").num_variants
    2
    """
    tokens = TOKEN.findall(text)
    phrase, end = _parse_parts(tokens, 0, fragments or {})
    assert end == len(tokens), f"brackets of {text!r}"
    return phrase


def _parse_parts(tokens: list[str], at: int, fragments: Mapping[str, Phrase]) -> tuple[Phrase, int]:
    parts: list[str | Slot | Choice] = []
    while at < len(tokens) and tokens[at] not in "|>":
        token = tokens[at]
        if token == "<":
            choice, at = _parse_choice(tokens, at + 1, fragments)
            parts.append(choice)
        elif token.startswith("{") and len(token) > 1:
            name = token[1:-1]
            parts.append(Choice((fragments[name],)) if name in fragments else Slot(name))
        else:
            parts.append(token)
        at += 1
    return Phrase(tuple(parts)), at


def _parse_choice(
    tokens: list[str], at: int, fragments: Mapping[str, Phrase]
) -> tuple[Choice, int]:
    """From behind the opening bracket to the closing one."""
    options: list[Phrase] = []
    while True:
        option, at = _parse_parts(tokens, at, fragments)
        options.append(option)
        if tokens[at] == ">":
            return Choice(tuple(options)), at
        at += 1


class Phrasings:
    """Phrasings to draw from; one that stands for many is drawn more often."""

    def __init__(self, texts: Iterable[str], fragments: Mapping[str, Phrase] | None = None) -> None:
        self.phrases = [parse(text, fragments) for text in texts]
        weights = (1 + math.log2(phrase.num_variants) for phrase in self.phrases)
        self._ends = list(accumulate(weights))

    @property
    def num_variants(self) -> int:
        """Of all phrasings together; a slot counts as one."""
        return sum(phrase.num_variants for phrase in self.phrases)

    @property
    def weight(self) -> float:
        """Grows with the number of phrasings and of what they can say."""
        return self._ends[-1] if self._ends else 0.0

    def draw(self, rng: random.Random, slots: Mapping[str, Draw] = NO_SLOTS) -> str:
        """One text of one phrasing."""
        return rng.choices(self.phrases, cum_weights=self._ends)[0].draw(rng, slots)

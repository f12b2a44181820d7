"""Phrasings with alternatives: what they expand to, and that no expansion is of both shares."""

import random
import re
from collections.abc import Sequence

import pytest

from scripts.pocket.dialogue import Split, share
from scripts.pocket.skeletons import expand, fill
from scripts.pocket.skills import (
    arithmetic,
    copy_phrasings,
    extraction,
    extraction_phrasings,
    memory,
    style,
    tools,
)

LISTS: dict[str, Sequence[str]] = {
    **{n: getattr(copy_phrasings, n) for n in ("REPEAT", "QUOTED", "NTH", "NTH_WORD", "LISTS")},
    **{n: getattr(extraction_phrasings, n) for n in ("ASK", "LISTED", "SHAPED", "SCHEMAS")},
    **{f"domain {name}": forms for name, forms in extraction.DOMAINS.items()},
    **{f"tell {kind}": topic.tell for kind, topic in memory.TOPICS.items()},
    **{f"ask {kind}": topic.ask for kind, topic in memory.TOPICS.items()},
    **{f"rule {name}": rule.phrasings for name, rule in style.RULES.items()},
    **{f"sum {sign}": forms for sign, forms in arithmetic.COMMANDS.items()},
    **{n: getattr(style, n) for n in ("ONE_WORD", "YES_NO", "DONT_KNOW")},
    "sums": arithmetic.ASK,
    "polite": tools.POLITE,
    "two calls": tools.TWO,
}
NUM_DRAWS = 60


def expansions(templates: Sequence[str], split: Split) -> set[str]:
    rng = random.Random(3)
    drawn = (expand(rng, t) for t in share(templates, split) for _ in range(NUM_DRAWS))
    return {re.sub(r"[^\w{}]+", " ", text.lower()).strip() or text for text in drawn}


@pytest.mark.parametrize("name", LISTS)
def test_no_expansion_stands_in_both_shares(name: str) -> None:
    shared = expansions(LISTS[name], "train") & expansions(LISTS[name], "held_out")
    assert not shared, shared


def test_alternatives_nest_and_may_be_empty() -> None:
    rng = random.Random(1)
    drawn = {expand(rng, "<a<1|2>|b|>{x}!") for _ in range(100)}
    assert drawn == {"a1{x}!", "a2{x}!", "b{x}!", "{x}!"}


def test_marks_inside_a_value_stay_as_they_are() -> None:
    assert fill("say {text}", {"text": "<a|b> {text} {other}"}) == "say <a|b> {text} {other}"

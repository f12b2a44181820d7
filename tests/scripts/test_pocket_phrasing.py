"""The notation of phrasings, and the border between what is asked of two skills."""

import random
import re

import pytest

from scripts.pocket.phrasing import Phrasings, parse
from scripts.pocket.skills import unknown
from scripts.pocket.skills.wording import as_sentence, in_haste, normal

SUM = re.compile(
    r"(?<![\^\d])(\d+) ?(?:\*|x|times|multiplied by|\+|plus|minus|-) ?(\d+)(?![\dxy])", re.I
)


def test_alternatives_nest_and_may_be_empty() -> None:
    phrase = parse("<get|<please |>fetch> a model< now|>")
    rng = random.Random(1)
    drawn = {phrase.draw(rng) for _ in range(200)}
    assert len(drawn) == phrase.num_variants == 6
    assert {"get a model", "please fetch a model now"} <= drawn


def test_a_fragment_is_put_in_and_a_slot_is_filled() -> None:
    phrase = parse("{verb} {thing}", {"verb": parse("<get|fetch>")})
    drawn = {phrase.draw(random.Random(i), {"thing": lambda _: "it"}) for i in range(20)}
    assert drawn == {"get it", "fetch it"}


def test_a_phrasing_of_many_variants_comes_more_often() -> None:
    phrasings = Phrasings(["one", "<a|b|c|d|e|f|g|h>"])
    rng = random.Random(1)
    drawn = [phrasings.draw(rng) for _ in range(1000)]
    assert 120 < drawn.count("one") < 280


@pytest.mark.parametrize("text", ["<a|b", "a>"])
def test_a_bracket_without_its_partner_is_refused(text: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        parse(text)


def test_a_sentence_has_a_capital_and_its_mark() -> None:
    assert as_sentence("what do i press") == "What do I press?"
    assert as_sentence("i'm done") == "I'm done."
    assert in_haste("what's that, you can't?") == "whats that, u cant?"
    assert normal("Which key, please?") == "which key please"


def test_an_unknown_sum_is_beyond_what_arithmetic_teaches() -> None:
    rng = random.Random(3)
    sums = [m for _ in range(20_000) if (m := SUM.search(unknown.ask(rng, "train")))]
    assert len(sums) > 100
    for found in sums:
        assert max(int(found[1]), int(found[2])) > 12, found[0]
        if re.search(r"\+|plus|minus|-", found[0]):
            assert max(int(found[1]), int(found[2])) > 99, found[0]

"""The engine says where a prompt left the one before it, and why the cache did not serve."""

import random

import pytest
from fake_runner import FakeRunner

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.plan import SchedulerLimits
from engine.prompt_history import MAX_PROMPTS, PrefixReport
from engine.request import Request, SamplingParams
from models.errors import NotFound

PROMPT = tuple(i % 6 for i in range(30))


def make_engine(num_blocks: int = 40) -> Engine:
    return Engine(
        FakeRunner(num_blocks, 4),  # type: ignore[arg-type]
        BlockPool(num_blocks, 4),
        SchedulerLimits(max_context_tokens=100, max_step_tokens=16),
        eos_token_ids=frozenset(),
        num_logits=7,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
    )


def ask(engine: Engine, name: str, prompt: tuple[int, ...], scored: int | None = None) -> None:
    params = SamplingParams(max_tokens=2)
    engine.add_request(Request(name, prompt, params, num_prompt_logprobs=scored))


def report(engine: Engine, name: str, prompt: tuple[int, ...]) -> PrefixReport:
    ask(engine, name, prompt)
    while engine.has_unfinished:
        engine.step()
    return engine.explain_prefix(name)


def test_the_first_token_that_differs_is_named_with_what_stands_around_it() -> None:
    engine = make_engine()
    assert report(engine, "first", PROMPT).cause == "first"
    report(engine, "other", (5, 5, 5))
    found = report(engine, "changed", (*PROMPT[:20], 0, 0, *PROMPT[22:]))
    assert (found.nearest_request_id, found.num_shared_tokens) == ("first", 20)
    assert found.shared_token_ids == PROMPT[8:20]
    assert (found.token_ids[0], found.nearest_token_ids[0]) == (0, PROMPT[20])
    assert (found.cause, found.num_cached_tokens) == ("reused", 20)


def test_a_prompt_known_to_its_end_has_no_differing_token() -> None:
    engine = make_engine()
    report(engine, "first", PROMPT)
    found = report(engine, "shorter", PROMPT[:12])
    assert (found.cause, found.token_ids, found.num_shared_tokens) == ("reused", (), 12)
    assert found.nearest_token_ids == PROMPT[12:24]


def test_blocks_given_away_are_the_cause_when_they_are() -> None:
    engine, rng = make_engine(), random.Random(1)
    report(engine, "first", PROMPT)
    for i in range(8):
        report(engine, f"flood{i}", tuple(rng.randrange(6) for _ in range(60)))
    found = report(engine, "again", PROMPT)
    assert (found.cause, found.nearest_request_id) == ("evicted", "first")


def test_a_prompt_that_was_never_computed_to_its_end_is_the_cause_when_it_is() -> None:
    engine = make_engine()
    ask(engine, "aborted", PROMPT)
    engine.step()
    engine.abort("aborted")
    found = report(engine, "again", PROMPT)
    assert (found.cause, found.num_cached_tokens) == ("unfinished", 16)


def test_a_scored_prompt_is_computed_whole() -> None:
    engine = make_engine()
    report(engine, "first", PROMPT)
    ask(engine, "scored", PROMPT, scored=0)
    while engine.has_unfinished:
        engine.step()
    assert engine.explain_prefix("scored").cause == "scored"


def test_only_the_last_requests_are_known() -> None:
    engine = make_engine()
    for i in range(MAX_PROMPTS + 1):
        report(engine, f"r{i}", (1, 2))
    with pytest.raises(NotFound, match="r0"):
        engine.explain_prefix("r0")
    assert engine.explain_prefix("r1").num_prompt_tokens == 2

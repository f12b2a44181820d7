"""Drafts change how fast a text comes, never the text."""

import random
from typing import Any

import numpy as np
import pytest
from fake_runner import FakeRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.block_pool import BlockPool
from engine.draft_model import DraftModel
from engine.engine import Engine
from engine.plan import SchedulerLimits
from engine.request import Request, RequestStats, SamplingParams
from engine.speculation import Speculation
from engine.step_cost import NUM_NEEDED, StepCost

EOS = 6


class FreeRows(StepCost):
    """Drafts are worth any chance, so that tests see many."""

    max_rows = 1 << 20

    def estimate_s(self, num_rows: int) -> float:
        return 1.0 if num_rows else 0.0


def make_draft_model(error: float = 0.2, num_blocks: int = 64, **changes: int) -> DraftModel:
    options = {"num_logits": 7, "max_context_tokens": 120, "max_rows": 50} | changes
    runner: Any = FakeRunner(num_blocks, 4, error=error)
    drafter = DraftModel(runner, BlockPool(num_blocks, 4), **options)
    drafter.estimate_s = lambda _: 0.0  # type: ignore[method-assign]
    return drafter


def make_engine(drafter: DraftModel | None, num_blocks: int = 64, **limits: int) -> Engine:
    limits.setdefault("max_context_tokens", 120)
    runner: Any = FakeRunner(num_blocks, 4)
    engine = Engine(
        runner,
        BlockPool(num_blocks, 4),
        SchedulerLimits(**limits),
        eos_token_ids=frozenset({EOS}),
        num_logits=7,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
        drafter=drafter,
    )
    engine._speculation.step_cost = FreeRows()
    return engine


def run(engine: Engine, drafter: DraftModel | None = None) -> dict[str, list[int]]:
    texts: dict[str, list[int]] = {}
    while engine.has_unfinished:
        for output in engine.step():
            texts.setdefault(output.request_id, []).extend(output.token_ids)
        engine.check_integrity()
        if drafter is not None:
            drafter.check_integrity()
    return texts


def finished_stats(engine: Engine, request: Request) -> RequestStats:
    engine.add_request(request)
    while engine.has_unfinished:
        for output in engine.step():
            if output.stats is not None:
                return output.stats
    pytest.fail("it did not end")


def random_requests(rng: random.Random, number: int) -> list[Request]:
    stem = tuple(rng.randrange(6) for _ in range(20))
    return [
        Request(
            f"r{i}",
            stem[: rng.randrange(20)] + tuple(rng.randrange(6) for _ in range(rng.randrange(1, 9))),
            SamplingParams(
                temperature=rng.choice([0, 0.7, 1.5]),
                top_p=rng.choice([0.9, 1.0]),
                seed=i,
                max_tokens=rng.randrange(1, 50),
                repeat_penalty=rng.choice([1.0, 1.3]),
            ),
            num_kept_tokens=rng.choice([None, 3]),
            max_context_tokens=rng.choice([None, 40]),
        )
        for i in range(number)
    ]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    error=st.sampled_from([0.0, 0.1, 1.0]),
    draft_blocks=st.integers(12, 64),
    target_blocks=st.integers(31, 64),
    max_rows=st.integers(3, 40),
)
def test_a_draft_model_of_any_quality_leaves_every_text_as_it_is(
    seed: int, error: float, draft_blocks: int, target_blocks: int, max_rows: int
) -> None:
    requests = random_requests(random.Random(seed), 8)
    drafter = make_draft_model(error, draft_blocks, max_rows=max_rows)
    engine = make_engine(drafter, target_blocks, max_running=5)
    plain = make_engine(None, max_draft_tokens=0)
    for request in requests:
        engine.add_request(request)
        plain.add_request(request)
    assert run(engine, drafter) == run(plain)


def test_the_same_network_as_draft_is_always_right() -> None:
    sampling = SamplingParams(temperature=0.9, seed=1, max_tokens=80, ignore_eos=True)
    engine = make_engine(make_draft_model(error=0.0))
    engine._speculation._lookup.propose = lambda *_: []  # type: ignore[method-assign]
    stats = finished_stats(engine, Request("a", (1, 2, 3), sampling))
    assert stats.num_draft_tokens >= 60
    assert stats.num_accepted_tokens == stats.num_draft_tokens


def test_a_draft_model_of_no_use_is_soon_left_alone() -> None:
    sampling = SamplingParams(temperature=0.9, seed=1, max_tokens=100, ignore_eos=True)
    engine = make_engine(make_draft_model(error=1.0))
    cost = engine._speculation.step_cost = StepCost()
    for rows in range(1, 20):
        for _ in range(20):
            cost.observe(rows, 1.0 + 0.5 * (rows - 1))
    cost.observe = lambda *_: None  # type: ignore[method-assign]
    stats = finished_stats(engine, Request("a", (1, 2, 3), sampling))
    assert stats.num_draft_tokens < 25


@pytest.mark.parametrize("proposer", ["lookup", "draft model"])
def test_sampled_tokens_have_the_targets_distribution(proposer: str) -> None:
    """Chi-square over the second token of many texts, where a draft has often been accepted."""
    drafter = make_draft_model(error=0.3) if proposer == "draft model" else None
    engine = make_engine(drafter, max_running=8)
    prompt = (*(t for x in range(6) for t in (2, 3, x, (5 * x + 1) % 6)), 2, 3)
    counts, expected, num_drafts = np.zeros(7), np.zeros(7), 0
    number = 3000
    for seed in range(number):
        sampling = SamplingParams(
            temperature=1, top_k=0, top_p=1, seed=seed, max_tokens=3, ignore_eos=True
        )
        engine.add_request(Request(f"r{seed}", prompt, sampling))
    texts: dict[str, list[int]] = {}
    while engine.has_unfinished:
        for output in engine.step():
            texts.setdefault(output.request_id, []).extend(output.token_ids)
            num_drafts += output.stats.num_draft_tokens if output.stats else 0
    runner = FakeRunner(1, 1)

    def distribution(*context: int) -> np.ndarray:
        logits = runner._logits(np.array(context))
        return np.exp(logits) / np.exp(logits).sum()

    for first, chance in enumerate(distribution(*prompt)):
        expected += chance * distribution(*prompt, first) * number
    for text in texts.values():
        counts[text[1]] += 1
    assert num_drafts > number / 4
    assert ((counts - expected) ** 2 / expected).sum() < 22.5, "1 in 1000 for six degrees"


def test_costs_are_medians_with_lines_between_them() -> None:
    cost = StepCost()
    assert cost.estimate_s(5) == 0
    for rows, seconds in ((1, 1.0), (5, 3.0)):
        for measured in (seconds, seconds, 99.0, seconds, 0.0):
            cost.observe(rows, measured)
    assert [cost.estimate_s(rows) for rows in (1, 3, 5, 9)] == [1.0, 2.0, 3.0, 5.0]


def test_rows_of_unknown_cost_are_tried_a_few_times_as_many_at_once() -> None:
    speculation = Speculation()
    engine = make_engine(None)
    engine.add_request(Request("a", (1, 2, 3, 4, 1, 2, 3), SamplingParams()))
    (sequence,) = engine._scheduler.waiting
    lengths = []
    for rows in (1, 4, 16):
        for _ in range(NUM_NEEDED):
            speculation.step_cost.observe(rows, 1.0)
        lengths.append(len(speculation.propose([(sequence, 16)], 500)[sequence]))
    assert lengths == [3, 15, 16]


def test_a_cost_is_believed_after_a_few_measurements() -> None:
    cost = StepCost()
    for _ in range(NUM_NEEDED):
        cost.observe(1, 1.0)
    cost.observe(9, 50.0)
    assert cost.estimate_s(9) == 1.0


@pytest.mark.parametrize(("row_s", "drafts_expected"), [(0.0, True), (0.05, True), (1.0, False)])
def test_drafts_are_made_where_rows_are_cheap(row_s: float, drafts_expected: bool) -> None:
    speculation = Speculation()
    for rows in range(1, 18):
        for _ in range(NUM_NEEDED):
            speculation.step_cost.observe(rows, 1.0 + row_s * (rows - 1))
    engine = make_engine(None)
    engine.add_request(Request("a", (1, 2, 3, 4, 1, 2, 3), SamplingParams()))
    (sequence,) = engine._scheduler.waiting
    proposed = speculation.propose([(sequence, 16)], 500)
    assert bool(proposed) == drafts_expected
    if drafts_expected:
        assert list(proposed[sequence])[:3] == [4, 1, 2]

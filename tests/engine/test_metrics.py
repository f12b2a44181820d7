"""One frozen value a step, and a pace of prefill that follows what rows cost."""

import dataclasses

import pytest
from fake_runner import FakeRunner

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.metrics import StepMetrics
from engine.pace import MAX_SLOWDOWN, MIN_ROWS, PrefillPace
from engine.plan import ScheduledSequence, SchedulerLimits, SchedulerOutput
from engine.request import Request, SamplingParams
from engine.sequence import Sequence


def make_engine() -> Engine:
    return Engine(
        FakeRunner(64, 4),  # type: ignore[arg-type]
        BlockPool(64, 4),
        SchedulerLimits(max_context_tokens=100, max_step_tokens=16),
        eos_token_ids=frozenset(),
        num_logits=7,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
    )


def ask(engine: Engine, name: str, num_prompt: int, num_tokens: int) -> None:
    prompt = tuple(i * 5 % 6 for i in range(num_prompt))
    engine.add_request(Request(name, prompt, SamplingParams(max_tokens=num_tokens, seed=1)))


def test_each_step_has_a_value_of_its_own_that_never_changes() -> None:
    engine = make_engine()
    ask(engine, "a", 20, 3)
    engine.step()
    first = engine.metrics
    assert (first.num_steps, first.num_sequences, first.num_rows) == (1, 1, 16)
    assert (first.num_running, first.num_finished) == (1, 0)
    assert first.kv_waste == 0
    engine.step()
    assert engine.metrics.num_rows == 4
    assert first.num_steps == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.num_steps = 2  # type: ignore[misc]


def test_totals_are_those_of_finished_requests() -> None:
    engine = make_engine()
    for name in ("a", "b"):
        ask(engine, name, 20, 5)
        while engine.has_unfinished:
            engine.step()
    found = engine.metrics
    assert (found.num_finished, found.num_prompt_tokens, found.num_output_tokens) == (2, 40, 10)
    assert found.num_cached_tokens == 19
    assert found.total_ttft_s >= found.total_queue_s > 0
    assert found.total_tpot_s > 0
    assert isinstance(found, StepMetrics)


def test_waste_is_what_blocks_hold_beside_tokens() -> None:
    engine = make_engine()
    ask(engine, "a", 5, 1)
    while engine.has_unfinished:
        engine.step()
    assert engine.metrics.num_cached_blocks == 2
    assert engine.metrics.kv_waste == pytest.approx(3 / 8)


def plan_of(num_decode: int, num_prefill: int) -> SchedulerOutput:
    sequence = Sequence(Request("a", (1,)), 0, 0.0, 0.0)
    items = [ScheduledSequence(sequence, 0, (1,)) for _ in range(num_decode)]
    return SchedulerOutput((*items, ScheduledSequence(sequence, 0, (1,) * num_prefill)))


def test_prefill_beside_decoding_takes_what_a_step_can_bear() -> None:
    pace = PrefillPace(64)
    for _ in range(50):
        rows = pace.num_rows
        pace.learn(plan_of(1, rows), 0.060 + 0.002 * rows, 0.060, 512)
    assert 0.060 + 0.002 * pace.num_rows == pytest.approx(0.060 * MAX_SLOWDOWN, rel=0.05)
    pace.learn(plan_of(1, 64), 60.0, 0.060, 512)
    assert pace.num_rows == MIN_ROWS
    for _ in range(60):
        pace.learn(plan_of(1, 64), 0.060, 0.060, 512)
    assert pace.num_rows > 300

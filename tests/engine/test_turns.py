"""Clients share the machine, interactive requests go first, and nobody starves."""

import random

import pytest
from fake_runner import FakeRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.plan import SchedulerLimits
from engine.request import Request, SamplingParams
from engine.turns import ANSWER_TOKENS, NOMINAL_TOKENS_S, PRIORITY_STEP_S, Turns

REQUEST_S = (2 + ANSWER_TOKENS) / NOMINAL_TOKENS_S


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def ask(name: str, client: str = "", priority: int = 0, num_tokens: int = 2) -> Request:
    prompt = tuple(len(name) % 6 for _ in range(num_tokens))
    return Request(name, prompt, SamplingParams(max_tokens=4), priority=priority, client=client)


def make_engine(clock: Clock, num_blocks: int = 64, max_running: int = 1) -> Engine:
    return Engine(
        FakeRunner(num_blocks, 4),  # type: ignore[arg-type]
        BlockPool(num_blocks, 4),
        SchedulerLimits(max_context_tokens=100, max_running=max_running, max_step_tokens=32),
        eos_token_ids=frozenset(),
        num_logits=7,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
        turns=Turns(clock),
    )


def order_of_ends(engine: Engine) -> list[str]:
    ends: list[str] = []
    while engine.has_unfinished:
        ends += [output.request_id for output in engine.step() if output.finish_reason]
        engine.check_integrity()
    return ends


def test_a_client_queues_behind_itself() -> None:
    engine = make_engine(Clock())
    for i in range(4):
        engine.add_request(ask(f"flood{i}", "a"))
    engine.add_request(ask("single", "b"))
    assert order_of_ends(engine).index("single") <= 1


def test_turns_of_one_client_follow_each_other_and_other_clients_are_not_touched() -> None:
    turns = Turns(Clock())
    first, second = (turns.assign(ask("x", "a")) - 100 for _ in range(2))
    assert (first, second) == pytest.approx((REQUEST_S, 2 * REQUEST_S))
    assert turns.assign(ask("x", "b")) - 100 == pytest.approx(REQUEST_S)
    batch = turns.assign(ask("x", "a", priority=1)) - 100
    assert batch == pytest.approx(REQUEST_S + PRIORITY_STEP_S)


def test_an_interactive_request_takes_the_place_of_a_batch_one() -> None:
    engine = make_engine(Clock())
    engine.add_request(ask("batch", priority=1))
    engine.step()
    engine.add_request(ask("chat"))
    assert order_of_ends(engine) == ["chat", "batch"]


def test_a_short_request_passes_a_long_prompt() -> None:
    engine = make_engine(Clock(), max_running=4)
    engine.add_request(ask("a long one", "a", num_tokens=90))
    engine.add_request(ask("short", "b"))
    engine.step()
    assert engine._scheduler.running[0].request.id == "short"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), max_running=st.integers(1, 4), num_blocks=st.integers(25, 60))
def test_no_request_starves_however_many_others_come(
    seed: int, max_running: int, num_blocks: int
) -> None:
    """The slow one is a long batch request; others keep coming, more than can be served."""
    rng, clock = random.Random(seed), Clock()
    engine = make_engine(clock, num_blocks, max_running)
    engine.add_request(ask("slow", "patient", priority=2, num_tokens=80))
    number = 0
    for _ in range(3000):
        clock.now_s += 0.1
        if len(engine._scheduler.waiting) < 30:
            number += 1
            client = rng.choice("abc")
            engine.add_request(ask(f"r{number}", client, rng.randrange(2), rng.randrange(1, 60)))
        ends = [output.request_id for output in engine.step() if output.finish_reason]
        engine.check_integrity()
        if "slow" in ends:
            return
    pytest.fail("it starved")

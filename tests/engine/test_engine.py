"""The engine over a fake network: every way through the scheduler gives the text of a run alone."""

import random

import numpy as np
import pytest
from fake_runner import FakeRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.plan import SchedulerLimits
from engine.request import Grammar, Request, SamplingParams, StepOutput
from engine.verification import Matcher
from models.errors import InvalidInput

EOS = 6


def make_engine(
    num_blocks: int = 64,
    block_size: int = 4,
    eos: frozenset[int] = frozenset({EOS}),
    matcher: Matcher | None = None,
    **limits: int,
) -> Engine:
    limits.setdefault("max_context_tokens", 120)
    pool = BlockPool(num_blocks, block_size)
    return Engine(
        FakeRunner(num_blocks, block_size),  # type: ignore[arg-type]
        pool,
        SchedulerLimits(**limits),
        eos_token_ids=eos,
        num_logits=7,
        make_matcher=lambda grammar: matcher or pytest.fail(f"no grammar here: {grammar}"),
    )


def run(engine: Engine, *, check: bool = True) -> dict[str, list[StepOutput]]:
    outputs: dict[str, list[StepOutput]] = {}
    while engine.has_unfinished:
        for output in engine.step():
            outputs.setdefault(output.request_id, []).append(output)
        if check:
            engine.check_integrity()
    return outputs


def text(outputs: list[StepOutput]) -> tuple[list[int], str | None]:
    return [t for o in outputs for t in o.token_ids], outputs[-1].finish_reason


def alone(request: Request) -> tuple[list[int], str | None]:
    engine = make_engine(max_draft_tokens=0, max_step_tokens=1000)
    engine.add_request(request)
    return text(run(engine)[request.id])


def random_requests(rng: random.Random, number: int) -> list[Request]:
    stems = [[rng.randrange(6) for _ in range(rng.randrange(1, 40))] for _ in range(3)]
    return [
        Request(
            id=f"r{i}",
            prompt_token_ids=tuple(
                rng.choice(stems) + [rng.randrange(6) for _ in range(rng.randrange(1, 20))]
            ),
            sampling=SamplingParams(
                temperature=rng.choice([0, 0.7]),
                seed=rng.randrange(100),
                max_tokens=rng.randrange(1, 40),
                repeat_penalty=rng.choice([1.0, 1.2]),
            ),
            priority=rng.randrange(2),
        )
        for i in range(number)
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_blocks=st.integers(31, 60),
    block_size=st.sampled_from([4, 5]),
    max_step_tokens=st.integers(12, 64),
    max_draft_tokens=st.sampled_from([0, 1, 4]),
    max_running=st.integers(1, 8),
)
def test_any_workload_gives_each_request_the_text_it_has_alone(
    seed: int,
    num_blocks: int,
    block_size: int,
    max_step_tokens: int,
    max_draft_tokens: int,
    max_running: int,
) -> None:
    rng = random.Random(seed)
    requests = random_requests(rng, 12)
    engine = make_engine(
        num_blocks,
        block_size,
        max_step_tokens=max_step_tokens,
        max_draft_tokens=max_draft_tokens,
        max_running=max_running,
        max_prefill_tokens_beside_decode=rng.randrange(1, 20),
    )
    outputs: dict[str, list[StepOutput]] = {}
    pending = list(requests)
    while pending or engine.has_unfinished:
        for _ in range(rng.randrange(3)):
            if pending:
                engine.add_request(pending.pop(0))
        for output in engine.step():
            outputs.setdefault(output.request_id, []).append(output)
        engine.check_integrity()
    for request in requests:
        assert text(outputs[request.id]) == alone(request)
    assert engine.metrics.num_free_blocks + engine.metrics.num_cached_blocks == num_blocks


def test_preemption_happens_and_changes_nothing() -> None:
    requests = [
        Request(
            f"r{i}", (i, 1, 2, 3, 4, 5) * 3, SamplingParams(seed=i, max_tokens=60, ignore_eos=True)
        )
        for i in range(4)
    ]
    engine = make_engine(num_blocks=31, max_draft_tokens=0)
    for request in requests:
        engine.add_request(request)
    outputs = run(engine)
    assert engine.metrics.num_preemptions > 0
    assert [text(outputs[r.id]) for r in requests] == [alone(r) for r in requests]


def test_a_second_request_reuses_blocks_and_the_part_of_one() -> None:
    engine = make_engine()
    prompt = tuple(i % 6 for i in range(30))
    engine.add_request(Request("cold", prompt, SamplingParams(max_tokens=1)))
    cold = run(engine)["cold"][-1].stats
    engine.add_request(Request("warm", (*prompt[:26], 0, 0, 0), SamplingParams(max_tokens=1)))
    warm = run(engine)["warm"][-1].stats
    assert cold is not None
    assert warm is not None
    assert cold.num_cached_tokens == 0
    assert warm.num_cached_tokens == 26


def test_the_next_turn_of_a_conversation_computes_only_what_is_new() -> None:
    engine = make_engine(block_size=8)
    prompt = tuple(i % 6 for i in range(13))
    params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
    engine.add_request(Request("first", prompt, params))
    answer, _ = text(run(engine)["first"])
    engine.add_request(Request("second", (*prompt, *answer, 5, 4, 3), params))
    second = run(engine)["second"][-1].stats
    assert second is not None
    assert second.num_cached_tokens == 13 + 6 - 1, "the last token of an answer was never computed"


def test_an_aborted_request_frees_its_blocks_at_once() -> None:
    engine = make_engine()
    engine.add_request(Request("a", (1, 2, 3), SamplingParams(ignore_eos=True)))
    engine.step()
    output = engine.abort("a")
    assert output is not None
    assert output.finish_reason == "abort"
    assert not engine.has_unfinished
    engine.check_integrity()
    assert engine.abort("a") is None


class StuckMatcher:
    is_finished = False

    def allowed(self) -> NDArray[np.bool_]:
        raise InvalidInput("the grammar cannot go on")

    def accept(self, token_id: int) -> None:
        pytest.fail(f"{token_id} was chosen")


def test_a_grammar_that_cannot_go_on_ends_its_own_request_only() -> None:
    engine = make_engine(matcher=StuckMatcher())
    params = SamplingParams(max_tokens=5, ignore_eos=True)
    engine.add_request(Request("stuck", (1, 2), params, grammar=Grammar("json")))
    engine.add_request(Request("free", (3, 4), params))
    outputs = run(engine)
    assert text(outputs["stuck"]) == ([], "error")
    assert "cannot go on" in str(outputs["stuck"][-1].error)
    assert len(text(outputs["free"])[0]) == 5


def test_generation_ends_at_the_end_of_the_context() -> None:
    engine = make_engine(max_context_tokens=20)
    engine.add_request(Request("a", tuple(range(5)), SamplingParams(ignore_eos=True)))
    tokens, reason = text(run(engine)["a"])
    assert (len(tokens), reason) == (15, "length")


def test_a_prompt_without_room_is_refused_with_both_numbers() -> None:
    engine = make_engine(max_context_tokens=20)
    with pytest.raises(InvalidInput, match="20 tokens; the context holds 20"):
        engine.add_request(Request("a", tuple([1] * 20)))


def test_drafts_are_accepted_on_text_that_repeats() -> None:
    """With a context hash of 40 tokens nothing repeats by chance, so the sampler is forced."""
    bias = {3: 100.0}
    params = SamplingParams(temperature=0, max_tokens=40, logit_bias=bias)
    engine = make_engine()
    engine.add_request(Request("a", (1, 2), params))
    stats = run(engine)["a"][-1].stats
    assert stats is not None
    assert stats.num_output_tokens == 40
    assert stats.num_accepted_tokens >= 30


def test_a_long_prompt_does_not_stop_another_stream() -> None:
    engine = make_engine(
        num_blocks=200, max_context_tokens=500, max_prefill_tokens_beside_decode=8, eos=frozenset()
    )
    engine.add_request(Request("short", (1,), SamplingParams(max_tokens=50)))
    engine.step()
    engine.add_request(
        Request("long", tuple(i % 6 for i in range(300)), SamplingParams(max_tokens=1))
    )
    for _ in range(20):
        tokens = {o.request_id: o.token_ids for o in engine.step()}
        assert tokens["short"]


def test_batch_priority_waits_behind_interactive_but_not_for_ever() -> None:
    engine = make_engine(max_running=1)
    engine.add_request(Request("first", (1,), SamplingParams(max_tokens=3)))
    engine.add_request(Request("batch", (2,), SamplingParams(max_tokens=3), priority=1))
    engine.add_request(Request("chat", (3,), SamplingParams(max_tokens=3)))
    order = []
    while engine.has_unfinished:
        order += [o.request_id for o in engine.step() if o.finish_reason]
    assert order == ["first", "chat", "batch"]

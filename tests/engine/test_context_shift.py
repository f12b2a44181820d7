"""A full context: the answer ends, or goes on as if what is left had been the prompt."""

import pytest
from fake_runner import FakeRunner

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.plan import SchedulerLimits
from engine.request import Request, RequestStats, SamplingParams

LIMIT, KEPT, NUM_TOKENS = 30, 5, 70
PROMPT = tuple(i * 7 % 6 for i in range(20))


def make_engine() -> Engine:
    return Engine(
        FakeRunner(64, 4),  # type: ignore[arg-type]
        BlockPool(64, 4),
        SchedulerLimits(max_context_tokens=100),
        eos_token_ids=frozenset(),
        num_logits=7,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
    )


def run(request: Request) -> tuple[list[int], RequestStats, str | None]:
    engine, tokens = make_engine(), list[int]()
    engine.add_request(request)
    while True:
        for output in engine.step():
            tokens += output.token_ids
            if output.stats is not None:
                return tokens, output.stats, output.finish_reason
        engine.check_integrity()


def greedy(prompt: tuple[int, ...], number: int, **changes: int) -> Request:
    return Request("r", prompt, SamplingParams(temperature=0, max_tokens=number), **changes)


def test_without_shift_the_answer_ends_where_the_context_does() -> None:
    tokens, stats, reason = run(greedy(PROMPT, NUM_TOKENS, max_context_tokens=LIMIT))
    assert (len(tokens), reason, stats.num_dropped_tokens) == (LIMIT - 20, "length", 0)


def test_with_shift_each_part_is_what_the_model_says_to_what_is_left() -> None:
    shifting = greedy(PROMPT, NUM_TOKENS, max_context_tokens=LIMIT, num_kept_tokens=KEPT)
    tokens, stats, reason = run(shifting)
    assert (len(tokens), reason, stats.num_output_tokens) == (NUM_TOKENS, "length", NUM_TOKENS)
    known, expected, num_dropped = list(PROMPT), list[int](), 0
    while len(expected) < NUM_TOKENS:
        part, _, _ = run(greedy(tuple(known), LIMIT - len(known)))
        expected += part
        known += part
        end = KEPT + (LIMIT - KEPT + 1) // 2
        num_dropped += end - KEPT
        del known[KEPT:end]
    assert tokens == expected[:NUM_TOKENS]
    assert stats.num_dropped_tokens in (num_dropped, num_dropped - (end - KEPT))


def test_an_answer_that_fits_drops_nothing() -> None:
    shifting = greedy(PROMPT, 5, max_context_tokens=LIMIT, num_kept_tokens=KEPT)
    tokens, stats, _ = run(shifting)
    assert (tokens, stats.num_dropped_tokens) == (run(greedy(PROMPT, 5))[0], 0)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_goes_on_behind_any_of_its_tokens_as_if_it_had_never_stopped(temperature) -> None:
    def ask(told: list[int]) -> Request:
        left = NUM_TOKENS - len(told)
        sampling = SamplingParams(temperature=temperature, seed=7, max_tokens=left)
        prompt = (*PROMPT, *told)
        return Request("r", prompt, sampling, max_context_tokens=LIMIT, num_kept_tokens=KEPT)

    whole, stats, _ = run(ask([]))
    for num_told in range(1, NUM_TOKENS):
        rest, rest_stats, _ = run(ask(whole[:num_told]))
        assert whole[:num_told] + rest == whole
        assert rest_stats.num_dropped_tokens == stats.num_dropped_tokens

"""What is kept when memory is short, and what is shared while it is being computed."""

import random

import pytest
from fake_runner import FakeRunner

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.plan import SchedulerLimits
from engine.request import Request, RequestStats, SamplingParams

SYSTEM = tuple(i * i % 6 for i in range(24))


def make_engine(num_blocks: int = 40, **limits: int) -> Engine:
    return Engine(
        FakeRunner(num_blocks, 4),  # type: ignore[arg-type]
        BlockPool(num_blocks, 4),
        SchedulerLimits(max_context_tokens=100, max_draft_tokens=0, **limits),
        eos_token_ids=frozenset(),
        num_logits=7,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
    )


def ask(engine: Engine, name: str, prompt: tuple[int, ...], seed: int = 0) -> None:
    engine.add_request(Request(name, prompt, SamplingParams(max_tokens=6, seed=seed)))


def finish(engine: Engine) -> dict[str, RequestStats]:
    found: dict[str, RequestStats] = {}
    while engine.has_unfinished:
        found |= {o.request_id: o.stats for o in engine.step() if o.stats is not None}
        engine.check_integrity()
    return found


def test_a_prefix_in_use_outlives_a_flood_of_prompts_that_come_once() -> None:
    engine, rng = make_engine(), random.Random(1)
    for i in range(4):
        ask(engine, f"system{i}", (*SYSTEM, i))
        finish(engine)
    for i in range(5):
        ask(engine, f"flood{i}", tuple(rng.randrange(6) for _ in range(40)))
        finish(engine)
    assert engine.metrics.num_evictions > 10
    ask(engine, "again", (*SYSTEM, 5))
    assert finish(engine)["again"].num_cached_tokens == len(SYSTEM)


def test_a_prefix_no_longer_in_use_goes_in_the_end() -> None:
    engine, rng = make_engine(), random.Random(1)
    for i in range(4):
        ask(engine, f"system{i}", (*SYSTEM, i))
        finish(engine)
    for i in range(60):
        ask(engine, f"flood{i}", tuple(rng.randrange(6) for _ in range(40)))
        finish(engine)
    ask(engine, "again", (*SYSTEM, 5))
    assert finish(engine)["again"].num_cached_tokens < 8


def test_choices_of_one_prompt_compute_it_once_and_share_its_blocks() -> None:
    engine = make_engine()
    prompt = (*SYSTEM, 1, 2, 3)
    for i in range(4):
        ask(engine, f"choice{i}", prompt, seed=i)
    engine.step()
    engine.step()
    tables = [sequence.block_table for sequence in engine._scheduler.running]
    assert len(tables) == 4
    assert len({tuple(table[:6]) for table in tables}) == 1
    assert len({table[6] for table in tables}) == 4, "each writes its own"
    stats = finish(engine)
    assert [s.num_cached_tokens for s in stats.values()] == [0, 26, 26, 26]
    assert sum(engine._runner.num_rows_run) == 27 + 3 + 4 * 5


def test_a_prefix_being_computed_is_waited_for_in_chunks() -> None:
    engine = make_engine(max_step_tokens=16)
    ask(engine, "first", (*SYSTEM, *SYSTEM, 1))
    engine.step()
    ask(engine, "second", (*SYSTEM, *SYSTEM, 2))
    ask(engine, "other", (5, 5, 5, 5, 5, 5))
    stats = finish(engine)
    assert stats["second"].num_cached_tokens == 48
    assert stats["other"].num_cached_tokens == 0


def test_the_copy_of_a_block_is_taken_before_the_block_is_given_away() -> None:
    """Room for two sequences only: what one is copied from is the next one's to take."""
    engine = make_engine(num_blocks=25, max_running=8)
    rng = random.Random(3)
    stems = [tuple(rng.randrange(6) for _ in range(10)) for _ in range(4)]
    plain = make_engine(max_running=1)
    texts: list[dict[str, list[int]]] = [{}, {}]
    for i in range(60):
        prompt = (*stems[i % 4][: rng.randrange(4, 10)], rng.randrange(6))
        for each in (engine, plain):
            ask(each, f"r{i}", prompt, seed=i)
    for each, found in zip((engine, plain), texts, strict=True):
        while each.has_unfinished:
            for output in each.step():
                found.setdefault(output.request_id, []).extend(output.token_ids)
            each.check_integrity()
    assert texts[0] == texts[1]

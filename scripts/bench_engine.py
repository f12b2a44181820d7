"""The engine's promises as ratios: prefixes, long prompts beside streams, batches, drafts, memory.

Each part runs what is compared in turn, several times, and prints medians.

    python scripts/bench_engine.py [--model FILE.gguf] [part ...]
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.disk_cache import DiskCache
from engine.engine import Engine
from engine.request import Grammar, SamplingParams, StepOutput
from engine.request import Request as EngineRequest
from scripts.engine_setup import (
    Prompt,
    Setup,
    load_setup,
    make_request,
    random_prompt,
    run_all,
    run_one,
)


@dataclass(frozen=True)
class Bench:
    """What is measured, how often, and by which clock."""

    setup: Setup
    repeats: int
    now_s: Callable[[], float]
    num_long_tokens: int


def report(what: str, value: str, target: str) -> None:
    """One line of the result."""
    print(f"{what:44} {value:>22}   wanted {target}", flush=True)


def first_token_s(bench: Bench, engine: Engine, prompt: Prompt) -> float:
    """Time to the first token of a prompt."""
    begun_s = bench.now_s()
    run_one(engine, make_request("first", prompt, 1))
    return bench.now_s() - begun_s


def bench_prefix(bench: Bench) -> None:
    """A prefix of 2,000 tokens: computed, found in memory, found on disk after a restart."""
    rng = random.Random(1)
    cold_s, warm_s, disk_s = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(bench.repeats):
            prefix = random_prompt(rng, bench.setup.num_logits, 2000)
            questions = [
                (*prefix, *random_prompt(rng, bench.setup.num_logits, 8)) for _ in range(3)
            ]
            disk_cache = DiskCache(Path(directory), "bench", 1 << 34)
            engine = bench.setup.make_engine(160, disk_cache=disk_cache)
            first_token_s(bench, engine, random_prompt(rng, bench.setup.num_logits, 8))
            cold_s.append(first_token_s(bench, engine, questions[0]))
            warm_s.append(first_token_s(bench, engine, questions[1]))
            while engine.save_prefixes(64):
                pass
            again = bench.setup.make_engine(
                160, disk_cache=DiskCache(Path(directory), "bench", 1 << 34)
            )
            first_token_s(bench, again, random_prompt(rng, bench.setup.num_logits, 8))
            disk_s.append(first_token_s(bench, again, questions[2]))
    cold, warm, disk = median(cold_s), median(warm_s), median(disk_s)
    report("first token, 2,000 tokens, computed", f"{cold:.3f} s", "")
    report("  found in memory / computed", f"{warm:.3f} s = {warm / cold:.1%}", "<= 3 %")
    report("  found on disk / computed", f"{disk:.3f} s = {disk / cold:.1%}", "<= 10 %")


def gaps_s(bench: Bench, engine: Engine, until: Callable[[StepOutput], bool]) -> list[float]:
    """Times between the tokens of "stream" until some output ends the measurement."""
    gaps, last_s, is_over = list[float](), bench.now_s(), False
    while not is_over:
        for output in engine.step():
            is_over |= until(output)
            if output.request_id == "stream" and output.token_ids:
                now_s = bench.now_s()
                gaps.append(now_s - last_s)
                last_s = now_s
    return gaps


def bench_long_prompt(bench: Bench) -> None:
    """One stream's time between tokens, alone and while a long prompt is prefilled."""
    rng = random.Random(2)
    alone, beside, long_s = [], [], []
    for _ in range(bench.repeats):
        engine = bench.setup.make_engine(420, max_draft_tokens=0)
        prompt = random_prompt(rng, bench.setup.num_logits, 50)
        engine.add_request(make_request("stream", prompt, 8000))
        numbers = iter(range(41))
        alone += gaps_s(bench, engine, lambda _, numbers=numbers: next(numbers) == 40)[1:]
        prompt = random_prompt(rng, bench.setup.num_logits, bench.num_long_tokens)
        engine.add_request(make_request("long", prompt, 1))
        begun_s = bench.now_s()
        beside += gaps_s(
            bench, engine, lambda output: output.request_id == "long" and bool(output.stats)
        )
        long_s.append(bench.now_s() - begun_s)
    p95_alone, p95_beside = (float(np.percentile(gaps, 95)) for gaps in (alone, beside))
    report("p95 between tokens, alone", f"{p95_alone * 1e3:.1f} ms", "")
    ratio = p95_beside / p95_alone
    report(
        f"  beside {bench.num_long_tokens:,} tokens",
        f"{p95_beside * 1e3:.1f} ms = {ratio:.2f} x",
        "<= 2.5",
    )
    report("  which took", f"{median(long_s):.1f} s", "")


def tokens_a_second(bench: Bench, engine: Engine, prompts: list[Prompt], num_tokens: int) -> float:
    """Decoding speed of all prompts together, from when all have their first token."""
    for i, prompt in enumerate(prompts):
        engine.add_request(make_request(f"r{i}", prompt, num_tokens))
    waiting = {f"r{i}" for i in range(len(prompts))}
    while waiting:
        waiting -= {output.request_id for output in engine.step() if output.token_ids}
    begun_s, number = bench.now_s(), 0
    while engine.has_unfinished:
        number += sum(len(output.token_ids) for output in engine.step())
    return number / (bench.now_s() - begun_s)


def bench_streams(bench: Bench) -> None:
    """Eight streams together against one."""
    rng = random.Random(3)
    one, eight = [], []
    for _ in range(bench.repeats):
        for number, speeds in ((1, one), (8, eight)):
            engine = bench.setup.make_engine(64, max_draft_tokens=0)
            prompts = [random_prompt(rng, bench.setup.num_logits, 16) for _ in range(number)]
            speeds.append(tokens_a_second(bench, engine, prompts, 48))
    report("one stream", f"{median(one):.1f} tok/s", "")
    ratio = median(eight) / median(one)
    report("  eight streams", f"{median(eight):.1f} tok/s = {ratio:.2f} x", ">= 3")


class Dictated:
    """A grammar of one text: the network computes, but this is what it says."""

    def __init__(self, text: Prompt, num_logits: int) -> None:
        self._text = text
        self._num_accepted = 0
        self._mask = np.zeros(num_logits, bool)

    @property
    def is_finished(self) -> bool:
        """Whether all is said."""
        return self._num_accepted == len(self._text)

    def allowed(self) -> NDArray[np.bool_]:
        """The next token."""
        self._mask[:] = False
        self._mask[self._text[self._num_accepted]] = True
        return self._mask

    def accept(self, token_id: int) -> None:
        """It came."""
        assert token_id == self._text[self._num_accepted]
        self._num_accepted += 1


def dictate_s(bench: Bench, prompt: Prompt, text: Prompt, num_drafts: int) -> float:
    """Seconds to decode a given text."""
    engine = bench.setup.make_engine(64, max_draft_tokens=num_drafts)
    engine._make_matcher = lambda _grammar: Dictated(text, bench.setup.num_logits)
    sampling = SamplingParams(temperature=0, max_tokens=len(text), ignore_eos=True)
    engine.add_request(EngineRequest("r", prompt, sampling, grammar=Grammar("lark")))
    engine.step()
    begun_s = bench.now_s()
    while engine.has_unfinished:
        engine.step()
    return bench.now_s() - begun_s


def bench_lookup(bench: Bench) -> None:
    """Texts that copy from the prompt, and texts in which nothing can be foreseen."""
    rng = random.Random(4)
    few = random_prompt(rng, bench.setup.num_logits, 8)

    def copied() -> tuple[Prompt, Prompt]:
        source = random_prompt(rng, bench.setup.num_logits, 160)
        text = list(source)
        for place in range(25, 160, 50):
            text[place] = rng.randrange(bench.setup.num_logits)
        return source, tuple(text)

    def unforeseen() -> tuple[Prompt, Prompt]:
        source = random_prompt(rng, bench.setup.num_logits, 160)
        return source, random_prompt(rng, bench.setup.num_logits, 120)

    def misleading() -> tuple[Prompt, Prompt]:
        words = tuple(rng.choice(few) for _ in range(320))
        return words[:200], words[200:]

    for name, make, target in (
        ("copied, one token in 50 changed", copied, ">= 2.5"),
        ("random tokens", unforeseen, ">= 0.97"),
        ("eight tokens at random, all seen before", misleading, ">= 0.97"),
    ):
        plain, drafted = [], []
        for i in range(bench.repeats):
            prompt, text = make()
            for num_drafts in (0, 16) if i % 2 else (16, 0):
                taken_s = dictate_s(bench, prompt, text, num_drafts)
                (drafted if num_drafts else plain).append(taken_s)
        ratio = median(a / b for a, b in zip(plain, drafted, strict=True))
        report(f"lookup: {name}", f"{ratio:.2f} x", target)


def bench_waste(bench: Bench) -> None:
    """Memory that holds no token after 200 requests of all sizes; blocks after a cancellation."""
    rng = random.Random(5)
    engine = bench.setup.make_engine(800, max_context_tokens=4096)
    systems = [random_prompt(rng, bench.setup.num_logits, n) for n in (60, 200, 700)]
    requests = []
    for i in range(200):
        own = random_prompt(rng, bench.setup.num_logits, int(rng.lognormvariate(5, 1)) % 2000 + 1)
        prompt = (*rng.choice(systems), *own)
        requests.append(make_request(f"r{i}", prompt, rng.randrange(4, 60)))
    most = 0.0
    for request in requests:
        engine.add_request(request)
    while engine.has_unfinished:
        engine.step()
        most = max(most, engine.metrics.kv_waste)
    report("memory that holds no token, in the end", f"{engine.metrics.kv_waste:.1%}", "< 4 %")
    report("  at most", f"{most:.1%}", "")
    prompt = random_prompt(rng, bench.setup.num_logits, 100)
    engine.add_request(make_request("cancelled", prompt, 1000))
    for _ in range(3):
        engine.step()
    engine.abort("cancelled")
    held = engine.metrics.num_blocks - engine.metrics.num_free_blocks
    held -= engine.metrics.num_cached_blocks
    report("blocks still held after a cancellation", str(held), "0")


PARTS: dict[str, Callable[[Bench], None]] = {
    "prefix": bench_prefix,
    "long": bench_long_prompt,
    "streams": bench_streams,
    "lookup": bench_lookup,
    "waste": bench_waste,
}


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--model", type=Path, help="a GGUF file; default: pocket")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long-tokens", type=int, default=8000)
    parser.add_argument("--cpu-time", action="store_true", help="for a machine that others use")
    options = parser.parse_args()
    setup = load_setup(options.model)
    warm_up = [make_request("warm", (1, 2, 3), 4)]
    run_all(setup.make_engine(4), warm_up)
    now_s = time.process_time if options.cpu_time else time.perf_counter
    for name in options.part or PARTS:
        PARTS[name](Bench(setup, options.repeats, now_s, options.long_tokens))


if __name__ == "__main__":
    main()

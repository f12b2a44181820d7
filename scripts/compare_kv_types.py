"""Keys and values in 8 bits beside 16: what they cost in quality, and what they gain in speed.

Quality: how much the distributions of the next token differ, and the perplexity, over windows of a
text (random tokens for a model that means nothing). Speed: decode steps behind contexts of random
keys and values, the two types in turn. The least of many steps counts, for the machine may be busy;
processor time beside it does not count what others took.

    python scripts/compare_kv_types.py [--model FILE.gguf] [--text FILE]
"""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from engine.batch import Batch
from engine.kv_cache import probe_layers
from engine.memory import BLOCK_SIZE
from engine.model_runner import ModelRunner
from engine.network.precision import KV_DTYPES
from engine.network_loading import load_network
from engine.request import Request, SamplingParams
from engine.sampler import Logits
from engine.tokenizer import Tokenizer
from metal_kernels.kv_cache import kv_write
from models.bundled import BUNDLED_PATH
from models.memory_plan import KvType
from models.resolve import resolve_path
from scripts.engine_setup import Setup, load_setup, random_prompt

TYPES = tuple(KV_DTYPES)


class Recorder(ModelRunner):
    """A runner that remembers the logits of all rows."""

    def __init__(self, runner: ModelRunner) -> None:
        super().__init__(runner._network, runner.kv_cache)
        self.rows: list[Logits] = []

    def finish(self, logits: mx.array) -> Logits:
        """As the runner's, and kept."""
        self.rows.append(np.array(logits))
        return self.rows[-1]


def logits_of(setup: Setup, window: tuple[int, ...]) -> Logits:
    """Of every token of the window [T, V], computed in chunks."""
    engine = setup.make_engine(-(-len(window) // BLOCK_SIZE) + 1, max_step_tokens=64)
    recorder = Recorder(engine._runner)  # type: ignore[arg-type]
    engine._runner = recorder
    sampling = SamplingParams(temperature=0, max_tokens=0)
    engine.add_request(Request("window", window, sampling, num_prompt_logprobs=0))
    while engine.has_unfinished:
        engine.step()
    return np.concatenate(recorder.rows)


@dataclass
class Quality:
    """Sums over predicted tokens."""

    losses: list[float]
    divergences: list[float]
    num_same: int = 0


def log_softmax(logits: Logits) -> Logits:
    """Rows of log-probabilities."""
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))  # type: ignore[no-any-return]


def compare(setup: Setup, windows: Iterator[tuple[int, ...]]) -> dict[KvType, Quality]:
    """Each type against 16 bits; the second half of each window is predicted."""
    found = {kv_type: Quality([], []) for kv_type in TYPES}
    for window in windows:
        half = len(window) // 2
        best: Logits | None = None
        for kv_type in TYPES:
            rows = logits_of(replace(setup, kv_type=kv_type), window)[half - 1 : len(window) - 1]
            ours = log_softmax(rows)
            best = ours if best is None else best
            quality = found[kv_type]
            quality.losses += (-ours[np.arange(len(ours)), list(window[half:])]).tolist()
            quality.divergences += (np.exp(best) * (best - ours)).sum(-1).tolist()
            quality.num_same += int((ours.argmax(-1) == best.argmax(-1)).sum())
    return found


def text_windows(
    tokenizer: Tokenizer, file: Path, size: int, number: int
) -> Iterator[tuple[int, ...]]:
    """The first windows of a text."""
    ids = tokenizer.encode(file.read_text(encoding="utf-8"), add_special=False)
    for i in range(min(number, len(ids) // size)):
        yield tuple(ids[i * size : (i + 1) * size])


def random_windows(num_logits: int, size: int, number: int) -> Iterator[tuple[int, ...]]:
    """Windows of tokens that mean nothing."""
    rng = random.Random(0)
    for _ in range(number):
        yield random_prompt(rng, num_logits, size)


def decode_seconds(setup: Setup, context: int, num_steps: int) -> dict[KvType, tuple[float, float]]:
    """The least time of a decode step behind `context` tokens, and of the processors, by type."""
    steps = {t: prepare_step(replace(setup, kv_type=t), context) for t in TYPES}
    least = {kv_type: (float("inf"), float("inf")) for kv_type in steps}
    for _ in range(num_steps):
        for kv_type, (runner, batch) in steps.items():
            begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
            runner.kv_cache.begin_step(batch)
            logits = runner._network(batch.ids[:, None], cache=runner.kv_cache.layers)
            mx.eval(logits, runner.kv_cache.pools)
            wall_s, cpu_s = least[kv_type]
            wall_s = min(wall_s, time.perf_counter() - begun_s)
            least[kv_type] = wall_s, min(cpu_s, time.process_time() - begun_cpu_s)
    return least


def prepare_step(setup: Setup, context: int) -> tuple[ModelRunner, Batch]:
    """A step for one token at the end of a sequence whose other tokens are random."""
    num_blocks = context // BLOCK_SIZE + 1
    runner = setup.make_runner(num_blocks)
    for layer, shape in zip(runner.kv_cache.layers, probe_layers(setup.network), strict=True):
        keys, values = (
            mx.random.normal((context, shape.num_kv_heads, size))
            for size in (shape.key_size, shape.value_size)
        )
        layer.pool = kv_write(layer.pool, mx.arange(context), keys, values)
        mx.eval(layer.pool)
    batch = Batch(
        ids=mx.array([1], mx.int32),
        positions=mx.array([context], mx.int32),
        slots=mx.array([context], mx.int32),
        block_tables=mx.arange(num_blocks, dtype=mx.int32)[None],
        query_starts=mx.array([0, 1], mx.int32),
        context_lens=mx.array([context + 1], mx.int32),
        sample_rows=mx.array([0], mx.int32),
    )
    return runner, batch


def main() -> None:
    """Print quality, then speed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", type=Path, help="a GGUF file; default: pocket")
    parser.add_argument("--text", type=Path, help="default: random tokens")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--contexts", default="2048,8192")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    setup = load_setup(options.model)
    if options.windows:
        windows = random_windows(setup.num_logits, options.window, options.windows)
        if options.text:
            tokenizer = load_network(resolve_path(options.model or BUNDLED_PATH)).tokenizer
            windows = text_windows(tokenizer, options.text, options.window, options.windows)
        for kv_type, quality in compare(setup, windows).items():
            number = len(quality.losses)
            print(
                f"{kv_type}: perplexity {np.exp(np.mean(quality.losses)):.4f}, divergence "
                f"{np.mean(quality.divergences):.2e} (largest {max(quality.divergences):.2e}), "
                f"same first choice {quality.num_same} of {number}",
                flush=True,
            )
    for context in map(int, filter(None, options.contexts.split(","))):
        times = decode_seconds(setup, context, options.steps)
        (first, first_cpu), (second, second_cpu) = times.values()
        print(
            f"decode behind {context} tokens: "
            + ", ".join(f"{t} {s * 1e3:.1f} ms ({c * 1e3:.1f})" for t, (s, c) in times.items())
            + f"; {first / second:.2f} times as fast ({first_cpu / second_cpu:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()

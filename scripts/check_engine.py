"""Whether a text depends on how the engine came to it: it must not, to the last token.

Every prompt is answered alone by the paged engine, and again in each of the other ways: with dense
attention over plain arrays (but for 8 bits, where sums in another order change stored bytes), in a
batch, with its prompt in chunks, from a warm cache, with drafts (by lookup, and by the model itself
as its own draft) and with too little memory for all. Half of the texts are sampled. Blocks are
counted after every step.

    python scripts/check_engine.py [--model FILE.gguf] [--prompts 100] [--kv-type q8_0]
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import mlx.core as mx
import numpy as np

from engine.batch import Batch
from engine.kv_cache import LayerCache, layer_windows, probe_layers
from engine.network.precision import KV_DTYPES
from engine.request import Request
from engine.sampler import sample
from engine.step_cost import StepCost
from scripts.engine_setup import Prompt, Setup, load_setup, make_request, random_prompt, run_all

Texts = list[list[int]]
TIE = 6e-3
"""Of two logits: over 640 rows of pocket, dense and paged put the best two at most 0.0057 apart
differently, as a sum in another order can round an activation to the next of its codes."""


class FreeRows(StepCost):
    """Every draft pays, so that many are verified."""

    max_rows = 1 << 20

    def estimate_s(self, num_rows: int) -> float:
        """The same for any number of rows."""
        return 1.0 if num_rows else 0.0


class DenseCache(LayerCache):
    """One sequence's keys and values as plain arrays, attended to by MLX."""

    def __init__(self, window: int | None) -> None:
        super().__init__(mx.zeros((0,)), window)
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append [T, K, 1, D], rounded as the paged cache rounds."""
        new_keys = keys[:, :, 0].swapaxes(0, 1)[None].astype(KV_DTYPES["f16"])
        new_values = values[:, :, 0].swapaxes(0, 1)[None].astype(KV_DTYPES["f16"])
        if self._keys is not None and self._values is not None:
            new_keys = mx.concatenate([self._keys, new_keys], axis=2)
            new_values = mx.concatenate([self._values, new_values], axis=2)
        self._keys, self._values = new_keys, new_values
        return keys, values

    def attend(
        self,
        queries: mx.array,
        scale: float,
        sinks: mx.array | None = None,
        soft_cap: float | None = None,
    ) -> mx.array:
        """Causal attention of [T, H, 1, D]."""
        assert self._keys is not None
        assert self._values is not None
        assert sinks is None
        assert soft_cap is None
        length, number = self._keys.shape[2], queries.shape[0]
        rows = mx.arange(length - number, length)[:, None]
        columns = mx.arange(length)[None]
        mask = columns <= rows
        if self.window is not None:
            mask = mask & (columns > rows - self.window)
        out = mx.fast.scaled_dot_product_attention(
            queries[:, :, 0].swapaxes(0, 1)[None],
            self._keys.astype(queries.dtype),
            self._values.astype(queries.dtype),
            scale=scale,
            mask=mask,
        )
        result: mx.array = out[0].swapaxes(0, 1)[:, :, None]
        return result


def answer_densely(setup: Setup, request: Request, expected: list[int]) -> list[int]:
    """The text without engine, blocks or our attention kernel.

    Its sums round differently: where two tokens are as good as equal, `expected` decides.
    """
    caches = [DenseCache(window) for window in layer_windows(setup.network)]
    assert len(caches) == len(probe_layers(setup.network))
    known, position = list(request.prompt_token_ids), 0
    while len(known) - len(request.prompt_token_ids) < (request.sampling.max_tokens or 0):
        new = known[position:]
        batch = Batch(
            ids=mx.array(new, mx.int32),
            positions=mx.arange(position, len(known), dtype=mx.int32),
            slots=mx.zeros((0,), mx.int32),
            block_tables=mx.zeros((0, 0), mx.int32),
            query_starts=mx.array([0, len(new)], mx.int32),
            context_lens=mx.array([len(known)], mx.int32),
            sample_rows=mx.array([len(new) - 1], mx.int32),
        )
        for cache in caches:
            cache.batch = batch
        logits = setup.network(batch.ids[:, None], cache=caches)[:, 0].astype(mx.float32)
        row = np.array(logits)[0]
        position = len(known)
        token = sample(row, request.sampling, known, request.sampling.seed or 0, position)
        other = expected[position - len(request.prompt_token_ids)]
        is_tie = not request.sampling.temperature and row[token] - row[other] < TIE
        known.append(other if is_tie else token)
    return known[len(request.prompt_token_ids) :]


def make_requests(num_logits: int, num_prompts: int, num_tokens: int, seed: int) -> list[Request]:
    """Prompts of 8 to 150 tokens; some begin alike, some repeat themselves."""
    rng = random.Random(seed)
    stems = [random_prompt(rng, num_logits, 70) for _ in range(4)]
    requests = []
    for i in range(num_prompts):
        own: Prompt = random_prompt(rng, num_logits, rng.randrange(8, 50))
        stem = rng.choice(stems)[: rng.randrange(0, 70)]
        prompt = (*stem, *own, *(own[:20] if i % 3 == 0 else ()))
        temperature = 0.8 * (i % 2)
        requests.append(make_request(f"r{i}", prompt, num_tokens, temperature=temperature, seed=i))
    return requests


def answer_alone(setup: Setup, requests: list[Request]) -> Texts:
    """Each request by itself, its prompt in one step, nothing reused, no drafts."""
    texts = []
    for request in requests:
        engine = setup.make_engine(8, max_draft_tokens=0, max_step_tokens=1000)
        texts += run_all(engine, [request])
    return texts


def ways(setup: Setup, requests: list[Request], expected: Texts) -> dict[str, Callable[[], Texts]]:
    """The other ways to the same texts."""

    def drafted(*, by_model: bool) -> Texts:
        drafter = setup.make_drafter(64) if by_model else None
        engine = setup.make_engine(64, drafter=drafter, max_running=6)
        engine._speculation.step_cost = FreeRows()
        return run_all(engine, requests, check=True)

    def warm() -> Texts:
        engine = setup.make_engine(64 + 6 * len(requests), max_draft_tokens=0)
        first = run_all(engine, requests, check=True)
        again = [replace(request, id=f"{request.id} again") for request in requests]
        assert engine.metrics.num_evictions == 0
        second = run_all(engine, again, check=True)
        return [a if a == b else [] for a, b in zip(first, second, strict=True)]

    def starved() -> Texts:
        engine = setup.make_engine(14, max_running=12, max_draft_tokens=0, max_context_tokens=256)
        texts = run_all(engine, requests, check=True)
        assert engine.metrics.num_preemptions > 0
        return texts

    def batched(**limits: int) -> Texts:
        engine = setup.make_engine(128, max_draft_tokens=0, **limits)
        return run_all(engine, requests, check=True)

    dense = {"dense": lambda: list(map(partial(answer_densely, setup), requests, expected))}
    return {
        **(dense if setup.kv_type == "f16" else {}),
        "batched": lambda: batched(max_running=16),
        "chunked": lambda: batched(max_running=4, max_step_tokens=17),
        "cached": warm,
        "looked up": lambda: drafted(by_model=False),
        "drafted": lambda: drafted(by_model=True),
        "preempted": starved,
    }


def main() -> None:
    """Print, for each way, how many texts are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF file; default: pocket")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--kv-type", choices=KV_DTYPES, default="f16")
    options = parser.parse_args()
    setup = load_setup(options.model, options.kv_type)
    requests = make_requests(setup.num_logits, options.prompts, options.tokens, seed=1)
    begun_s = time.monotonic()
    expected = answer_alone(setup, requests)
    print(f"{len(requests)} prompts alone: {time.monotonic() - begun_s:.0f} s", flush=True)
    wrong = 0
    for name, answer in ways(setup, requests, expected).items():
        begun_s = time.monotonic()
        same = sum(a == b for a, b in zip(expected, answer(), strict=True))
        wrong += len(requests) - same
        taken_s = time.monotonic() - begun_s
        print(f"{name:10} {same} of {len(requests)} the same, {taken_s:.0f} s", flush=True)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()

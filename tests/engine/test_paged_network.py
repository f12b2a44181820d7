"""A real (tiny) network through the paged engine equals the same network run plainly."""

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from tiny import random_prompts, tiny_network

from engine.block_pool import BlockPool
from engine.disk_cache import DiskCache
from engine.engine import Engine
from engine.kv_cache import KVCache, layer_windows, probe_layers
from engine.model_runner import ModelRunner
from engine.plan import SchedulerLimits
from engine.request import Request, SamplingParams

under_each_limit = pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_draft_tokens": 0},
        {"max_step_tokens": 7, "max_prefill_tokens_beside_decode": 3},
        {"num_blocks": 26},
    ],
    ids=["plain", "no drafts", "small chunks", "scarce blocks"],
)


def make_engine(
    network: nn.Module, num_blocks: int = 64, disk_cache: DiskCache | None = None, **limits: int
) -> Engine:
    shapes = probe_layers(network)
    cache = KVCache(
        shapes, layer_windows(network), num_blocks=num_blocks, block_size=8, dtype=mx.float32
    )
    return Engine(
        ModelRunner(network, cache),
        BlockPool(num_blocks, 8),
        SchedulerLimits(max_context_tokens=200, **limits),
        eos_token_ids=frozenset(),
        num_logits=50,
        make_matcher=lambda grammar: pytest.fail(f"no grammar here: {grammar}"),
        disk_cache=disk_cache,
    )


def greedy_plainly(network: nn.Module, prompt: tuple[int, ...], number: int) -> list[int]:
    """The whole sequence again for each token, dense attention, no cache."""
    tokens = list(prompt)
    for _ in range(number):
        tokens.append(int(network(mx.array([tokens]))[0, -1].argmax().item()))
    return tokens[len(prompt) :]


def generate(engine: Engine, prompts: list[tuple[int, ...]], number: int) -> list[list[int]]:
    for i, prompt in enumerate(prompts):
        params = SamplingParams(temperature=0, max_tokens=number)
        engine.add_request(Request(str(i), prompt, params))
    texts: dict[str, list[int]] = {}
    while engine.has_unfinished:
        for output in engine.step():
            texts.setdefault(output.request_id, []).extend(output.token_ids)
        engine.check_integrity()
    return [texts[str(i)] for i in range(len(prompts))]


@under_each_limit
def test_paged_and_batched_equals_dense_and_alone(limits: dict[str, int]) -> None:
    network = tiny_network()
    prompts = random_prompts(6, 60)
    expected = [greedy_plainly(network, prompt, 12) for prompt in prompts]
    assert generate(make_engine(network, **limits), prompts, 12) == expected


def test_a_warm_cache_changes_nothing() -> None:
    network = tiny_network()
    (prompt,) = random_prompts(1, 100, seed=5)
    engine = make_engine(network)
    cold = generate(engine, [prompt * 2], 10)
    assert generate(engine, [prompt * 2], 10) == cold
    assert engine.metrics.num_cached_blocks > 0


def test_sliding_windows_see_as_far_as_they_should() -> None:
    network = tiny_network(
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], sliding_window=9
    )
    prompts = random_prompts(3, 60, seed=3)
    assert layer_windows(network) == [9, None, 9]
    expected = [greedy_plainly(network, prompt, 6) for prompt in prompts]
    assert generate(make_engine(network), prompts, 6) == expected


def test_the_probe_finds_each_layers_shape_without_computing() -> None:
    shapes = probe_layers(tiny_network())
    assert [(s.num_kv_heads, s.key_size, s.value_size) for s in shapes] == [(2, 16, 16)] * 3
    assert shapes[0].token_bytes(mx.float16) == 2 * 32 * 2


def test_logits_are_computed_for_sampled_rows_only() -> None:
    network = tiny_network()
    engine = make_engine(network)
    shapes = []
    head = network.lm_head.__class__.__call__

    def watch(self: nn.Module, x: mx.array) -> mx.array:
        if self is network.lm_head:
            shapes.append(x.shape)
        return head(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network.lm_head.__class__, "__call__", watch)
        engine.add_request(Request("a", tuple(range(40)), SamplingParams(max_tokens=1)))
        engine.step()
    assert shapes == [(1, 1, 64)]


def test_seeded_sampling_is_the_same_alone_and_in_company() -> None:
    network = tiny_network()
    prompts = random_prompts(5, 40, seed=9)

    def sampled(engine: Engine, ids: list[int]) -> dict[str, list[int]]:
        texts: dict[str, list[int]] = {}
        for i in ids:
            params = SamplingParams(temperature=1.0, seed=i, max_tokens=15)
            engine.add_request(Request(str(i), prompts[i], params))
        while engine.has_unfinished:
            for output in engine.step():
                texts.setdefault(output.request_id, []).extend(output.token_ids)
        return texts

    together = sampled(make_engine(network), list(range(5)))
    for i in range(5):
        assert sampled(make_engine(network), [i])[str(i)] == together[str(i)]


def test_logprobs_belong_to_the_chosen_tokens() -> None:
    network = tiny_network()
    engine = make_engine(network)
    params = SamplingParams(temperature=0, max_tokens=3, num_logprobs=2)
    engine.add_request(Request("a", (1, 2, 3), params))
    outputs = [o for _ in range(3) for o in engine.step()]
    row = np.array(network(mx.array([[1, 2, 3]]))[0, -1])
    first = outputs[0].logprobs[0]
    assert first.token_id == int(row.argmax()) == first.alternatives[0][0]
    assert np.isclose(first.logprob, row.max() - np.log(np.exp(row).sum()), atol=1e-4)


@pytest.mark.parametrize("num_blocks", [64, 26])
def test_a_prompt_is_scored_as_the_plain_network_scores_it(num_blocks: int) -> None:
    """Also when it is preempted on the way, and when its prefix is cached."""
    network = tiny_network()
    rng = np.random.default_rng(6)
    prompt = tuple(int(t) for t in rng.integers(0, 50, 150))
    engine = make_engine(network, num_blocks, max_prefill_tokens_beside_decode=7)
    generate(engine, [prompt[:90]], 3)
    engine.add_request(Request("other", prompt[:60], SamplingParams(max_tokens=60)))
    params = SamplingParams(temperature=0, max_tokens=2)
    engine.add_request(Request("scored", prompt, params, num_prompt_logprobs=1))
    outputs = []
    while engine.has_unfinished:
        outputs += [o for o in engine.step() if o.request_id == "scored"]
        engine.check_integrity()
    found = [logprob for o in outputs for logprob in o.prompt_logprobs]
    logits = np.array(network(mx.array([prompt]))[0], np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert [logprob.token_id for logprob in found] == list(prompt[1:])
    assert np.allclose(
        [logprob.logprob for logprob in found],
        expected[np.arange(149), prompt[1:]],
        atol=1e-3,
    )
    assert found[0].alternatives[0][0] == int(logits[0].argmax())
    assert [t for o in outputs for t in o.token_ids] == greedy_plainly(network, prompt, 2)


def test_prefixes_come_back_from_disk_with_the_same_text(tmp_path: Path) -> None:
    network = tiny_network()
    prompt = tuple(int(t) for t in np.random.default_rng(4).integers(0, 50, 90))
    first = make_engine(network, disk_cache=DiskCache(tmp_path, "tiny", 10**8))
    cold = generate(first, [prompt], 8)
    assert first.save_prefixes(100) == 12
    assert first.save_prefixes(100) == 0
    second = make_engine(network, disk_cache=DiskCache(tmp_path, "tiny", 10**8))
    second.add_request(Request("warm", prompt, SamplingParams(temperature=0, max_tokens=8)))
    outputs = [o for _ in range(8) for o in second.step()]
    second.check_integrity()
    assert [t for o in outputs for t in o.token_ids] == cold[0]
    assert outputs[-1].stats is not None
    assert outputs[-1].stats.num_cached_tokens == 88

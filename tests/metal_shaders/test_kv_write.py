"""Writes into the pool, alone and fused with rotary embedding, against the plain definitions."""

import math

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.metal import fence
from metal_kernels.metal.gather_kv import gather_kv
from metal_kernels.metal.kernel import MAX_THREADS
from metal_kernels.metal.kv_rows import int8_row_bytes
from metal_kernels.metal.kv_write import kv_write, rope_kv_write
from metal_kernels.metal.paged_attention import paged_attention

DTYPES = [mx.float16, mx.bfloat16, mx.float32]
TOLERANCE = {mx.float16: 2e-3, mx.bfloat16: 2e-2, mx.float32: 1e-5}


def random(rng, *shape, dtype):
    return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)


def make_slots(rng, num_tokens):
    """Distinct slots of six blocks of 16; one row of several only pads the batch."""
    slots = rng.permutation(96)[:num_tokens].astype(np.int32)
    if num_tokens > 1:
        slots[num_tokens // 2] = -1
    return mx.array(slots)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("num_tokens", [1, 5, 9])
def test_kv_write_changes_its_slots_in_place(simulate, dtype, num_tokens):
    simulator = simulate(seed=1)
    rng = np.random.default_rng(num_tokens)
    pool = mx.zeros((6, 2, 16, 144), dtype=dtype)
    k, v = (random(rng, num_tokens, 2, d, dtype=dtype) for d in (80, 64))
    slots = make_slots(rng, num_tokens)
    expected = reference.kv_write(pool + 0, slots, k, v)
    written = kv_write(pool, slots, k, v)
    assert mx.array_equal(written, expected)
    assert mx.array_equal(pool, expected)
    num_written = sum(slot >= 0 for slot in slots.tolist())
    assert simulator.launches[-1].traffic["pool"].stored == num_written * 2 * 144 * dtype.size


def test_latents_wider_than_a_threadgroup(simulate):
    """As DeepSeek keeps them, written and gathered."""
    simulator = simulate()
    rng = np.random.default_rng(0)
    pool = mx.zeros((2, 1, 16, 1088), dtype=mx.float16)
    k, v = (random(rng, 20, 1, d, dtype=mx.float16) for d in (576, 512))
    slots = mx.arange(20, dtype=mx.int32)
    written = kv_write(pool, slots, k, v)
    table = mx.array([[0, 1]], mx.int32)
    keys, values = gather_kv(written, table, 0, 20, 576, mx.float16)
    assert mx.array_equal(keys[0], k[:, 0])
    assert mx.array_equal(values[0], v[:, 0])
    assert all(math.prod(launch.threadgroup) <= MAX_THREADS for launch in simulator.launches)


@pytest.mark.parametrize(("key_size", "value_size"), [(64, 64), (80, 80), (192, 128)])
def test_int8_rows_are_those_of_the_definition_to_the_bit(simulate, key_size, value_size):
    simulate(seed=1)
    rng = np.random.default_rng(0)
    pool = mx.zeros((6, 2, 16, int8_row_bytes(key_size, value_size)), dtype=mx.uint8)
    k, v = (random(rng, 9, 2, d, dtype=mx.float16) for d in (key_size, value_size))
    v[3, 1, :32] = 0.0
    slots = make_slots(rng, 9)
    expected = reference.kv_write(pool + 0, slots, k, v)
    assert mx.array_equal(kv_write(pool, slots, k, v), expected)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("key_size", "value_size", "num_pairs"), [(64, 64, 32), (96, 64, 16)])
def test_rope_and_write_in_one_launch(
    simulate, interleaved, dtype, key_size, value_size, num_pairs
):
    simulator = simulate(seed=2)
    rng = np.random.default_rng(0)
    pool = mx.zeros((6, 2, 16, key_size + value_size), dtype=dtype)
    q = random(rng, 5, 6, key_size, dtype=dtype)
    k, v = (random(rng, 5, 2, d, dtype=dtype) for d in (key_size, value_size))
    slots, positions = make_slots(rng, 5), mx.array([0, 1, 77, 4095, 131071])
    inv_freq = mx.array(10000.0 ** -(np.arange(num_pairs) / num_pairs).astype(np.float32))
    turned_q, turned_k = (reference.rope(x, positions, inv_freq, 1.2, interleaved) for x in (q, k))
    expected = reference.kv_write(pool + 0, slots, turned_k, v)
    out, written = rope_kv_write(
        pool, slots, q, k, v, positions, inv_freq, scale=1.2, interleaved=interleaved
    )
    assert len(simulator.launches) == 1
    for pair in ((out, turned_q), (written, expected), (pool, expected)):
        ours, theirs = (np.array(x.astype(mx.float32)) for x in pair)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype])
    assert mx.array_equal(written[..., key_size:], expected[..., key_size:])


def test_attention_waits_for_the_write_through_its_fence(simulate):
    simulator = simulate()
    rng = np.random.default_rng(0)
    pool = mx.zeros((2, 2, 16, 128))
    k, v = (random(rng, 1, 2, 64, dtype=mx.float32) for _ in range(2))
    pool = kv_write(pool, mx.array([17]), k, v)
    newest = fence.latest()
    out = paged_attention(
        mx.ones((1, 4, 64)), pool, block_tables=mx.array([[1]]), scale=1.0,
        query_starts=mx.array([0, 1]), context_lens=mx.array([2]), sinks=None,
    )  # fmt: skip
    assert "fence" in simulator.launches[-1].traffic
    assert fence.latest() is newest
    assert not mx.any(mx.isnan(out))

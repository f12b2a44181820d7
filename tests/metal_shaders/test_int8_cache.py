"""Keys and values as scaled bytes: written, read and gathered, against the plain definition."""

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.metal import kv_rows
from metal_kernels.metal.attention_kernels import least_matrix_rows
from metal_kernels.metal.attention_plan import NEVER
from metal_kernels.metal.kv_write import kv_write
from metal_kernels.metal.paged_attention import paged_attention

SIZES = [(64, 64), (80, 80), (96, 96), (128, 128), (192, 128), (256, 256)]


def quantize(rows, group):
    """What an int8 row stands for: float16 scales of the largest of each group over 127."""
    parts = rows.astype(np.float32).reshape(*rows.shape[:-1], -1, group)
    scales = (np.abs(parts).max(-1, keepdims=True) / np.float32(127)).astype(np.float16)
    wide = np.maximum(scales.astype(np.float32), 1e-30)
    codes = np.clip(np.rint(parts * (np.float32(1) / wide)), -127, 127)
    return (codes * scales.astype(np.float32)).reshape(rows.shape)


def fill(rng, key_size, value_size, num_tokens, simulator):
    """An int8 pool with one sequence in scattered blocks, and the float pool it stands for."""
    num_blocks, heads = -(-num_tokens // 16) + 2, 2
    table = rng.permutation(num_blocks)[: -(-num_tokens // 16)].astype(np.int32)
    shape = (num_blocks, heads, 16, kv_rows.int8_row_bytes(key_size, value_size))
    pool = mx.array(np.full(shape, 0xFF, np.uint8))
    simulator.mark_undefined(pool, np.ones(shape, bool))
    k, v = (
        rng.standard_normal((num_tokens, heads, d)).astype(np.float16)
        for d in (key_size, value_size)
    )
    v[0, 0, :16] = 0  # a group of zeros has no scale
    slots = table[np.arange(num_tokens) // 16] * 16 + np.arange(num_tokens) % 16
    written = kv_write(pool, mx.array(slots.astype(np.int32)), mx.array(k), mx.array(v))
    group = kv_rows.int8_group(key_size, value_size)
    plain = mx.zeros((num_blocks, heads, 16, key_size + value_size))
    k, v = (mx.array(quantize(x, group)) for x in (k, v))
    return written, reference.kv_write(plain, mx.array(slots), k, v), mx.array(table)[None]


@pytest.mark.parametrize(("key_size", "value_size"), SIZES)
def test_decode_and_prefill_over_an_int8_pool(simulate, key_size, value_size):
    simulator = simulate(seed=key_size)
    rng = np.random.default_rng(key_size)
    pool, plain, table = fill(rng, key_size, value_size, 70, simulator)
    for num_rows in (1, 3, 30):
        q = mx.array(rng.standard_normal((num_rows, 8, key_size)).astype(np.float32))
        places = {
            "block_tables": table,
            "query_starts": mx.array([0, num_rows]),
            "context_lens": mx.array([70]),
            "scale": key_size**-0.5,
        }
        out = paged_attention(q, pool, **places)
        expected = reference.paged_attention(
            q, plain, **places, window=None, sinks=None, soft_cap=None
        )
        np.testing.assert_allclose(out, expected, atol=2e-5)
    names = {launch.kernel for launch in simulator.launches}
    by_matrices = least_matrix_rows(key_size, value_size, "_int8") < NEVER
    matrices = {"paged_attention_matrix_int8"} if by_matrices else set()
    assert names == {"kv_write_int8", "paged_attention_int8", "gather_kv_int8"} | matrices


@pytest.mark.parametrize("num_tokens", [1000, 2100])
def test_an_int8_pool_is_fetched_once_at_half_the_bytes(simulate, num_tokens):
    simulator = simulate(cache_bytes=32 * 1024)
    rng = np.random.default_rng(0)
    pool, _, table = fill(rng, 128, 128, num_tokens, simulator)
    q = mx.array(rng.standard_normal((1, 8, 128)).astype(np.float16))
    paged_attention(
        q, pool, block_tables=table, query_starts=mx.array([0, 1]),
        context_lens=mx.array([num_tokens]), scale=0.1,
    )  # fmt: skip
    launches = [x for x in simulator.launches if x.kernel.startswith("paged_attention")]
    assert launches[0].traffic["pool"].fetched == num_tokens * 2 * 272
    assert sum(x.device_bytes for x in launches) <= 1.05 * num_tokens * 2 * 272


def test_sizes_of_rows_are_unambiguous():
    for key_size, value_size in SIZES:
        row = kv_rows.int8_row_bytes(key_size, value_size)
        pool = mx.zeros((1, 1, 16, row), dtype=mx.uint8)
        assert kv_rows.value_size(pool, key_size) == value_size
        assert row % 4 == 0

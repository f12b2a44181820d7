"""Rows of scaled bytes: what they mean, and that ops take pools of them on every back end."""

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.int8_rows import pack_rows, unpack_rows
from metal_kernels.kv_cache import kv_write, make_pool
from metal_kernels.metal.kv_rows import int8_group, int8_row_bytes
from metal_kernels.paged_attention import paged_attention

SIZES = [(64, 64), (80, 80), (192, 128)]


@pytest.mark.parametrize(("key_size", "value_size"), SIZES)
def test_a_row_is_right_to_half_a_step_of_its_group(key_size, value_size):
    rng = np.random.default_rng(0)
    k, v = (
        mx.array(rng.standard_normal((5, 2, d)).astype(np.float32)) for d in (key_size, value_size)
    )
    v[0, 0, :32] = 0.0
    rows = pack_rows(k, v)
    assert rows.shape == (5, 2, int8_row_bytes(key_size, value_size))
    values = np.concatenate([k, v], axis=-1)
    found = np.array(unpack_rows(rows, key_size))
    group = int8_group(key_size, value_size)
    steps = np.abs(values.reshape(5, 2, -1, group)).max(-1, keepdims=True) / 127
    error = np.abs(found - values).reshape(5, 2, -1, group)
    assert (error <= 0.5 * steps * (1 + 2**-10) + 127 * steps * 2**-11).all()
    assert not np.any(found[0, 0, key_size : key_size + 32])


@pytest.mark.parametrize(("key_size", "value_size"), SIZES)
def test_packing_is_a_scale_and_the_nearest_code(key_size, value_size):
    values = np.linspace(-3, 2, key_size + value_size).astype(np.float32)
    k, v = mx.array(values[:key_size]), mx.array(values[key_size:])
    row = np.array(pack_rows(k, v))
    group = int8_group(key_size, value_size)
    scales = row[values.size :].view(np.float16).astype(np.float32)
    largest = np.abs(values.reshape(-1, group)).max(1)
    np.testing.assert_array_equal(scales, (largest / 127).astype(np.float16).astype(np.float32))
    codes = row[: values.size].view(np.int8).reshape(-1, group)
    assert np.abs(codes - values.reshape(-1, group) / scales[:, None]).max() <= 0.5 + 1e-3


def test_a_pool_of_scaled_bytes_is_written_and_attended_to():
    rng = np.random.default_rng(1)
    k, v = (mx.array(rng.standard_normal((20, 2, 64)).astype(np.float32)) for _ in range(2))
    q = mx.array(rng.standard_normal((3, 4, 64)).astype(np.float32))
    places = {
        "block_tables": mx.array([[2, 0]]), "query_starts": mx.array([0, 3]),
        "context_lens": mx.array([20]), "scale": 0.125,
    }  # fmt: skip
    slots = mx.array([32 + i if i < 16 else i - 16 for i in range(20)], dtype=mx.int32)
    pool = kv_write(make_pool(3, 2, 16, 64, 64, mx.uint8), slots, k, v)
    assert pool.shape == (3, 2, 16, 136)
    out = paged_attention(q, pool, **places)
    wide = unpack_rows(pack_rows(k, v), 64)
    plain = reference.kv_write(mx.zeros((3, 2, 16, 128)), slots, wide[..., :64], wide[..., 64:])
    expected = reference.paged_attention(q, plain, **places, window=None, sinks=None, soft_cap=None)
    np.testing.assert_allclose(out, expected, atol=1e-4)

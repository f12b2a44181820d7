import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import backend, kv_cache, reference


def rows(count, heads, size, seed):
    return mx.random.normal((count, heads, size), key=mx.random.key(seed))


@pytest.mark.parametrize("dtype", [mx.float16, mx.float32])
@pytest.mark.parametrize(("size_k", "size_v"), [(64, 64), (20, 36)])
def test_rows_land_in_their_slots_and_nowhere_else(dtype, size_k, size_v):
    slots = mx.array([5, 0, -1, 31, 16])
    k, v = rows(5, 3, size_k, 0), rows(5, 3, size_v, 1)
    pool = kv_cache.make_pool(4, 3, 8, size_k, size_v, dtype)
    written = kv_cache.kv_write(pool, slots, k, v)
    expected = reference.kv_write(mx.zeros(pool.shape, dtype), slots, k, v)
    assert mx.array_equal(written, expected)
    assert not mx.array_equal(written, mx.zeros(pool.shape, dtype))


@pytest.mark.skipif(backend.backend() != "cpu", reason="the reference copies")
def test_writes_stay_in_place_while_steps_are_pipelined():
    pool = kv_cache.make_pool(64, 4, 16, 64, 64, mx.float16)
    address = np.array(pool, copy=False).__array_interface__["data"][0]
    sums = []
    for step in range(6):
        k = mx.full((1, 4, 64), step + 1.0)
        pool = kv_cache.kv_write(pool, mx.array([step]), k, k)
        sums.append(pool[0, 0, :, 0].astype(mx.float32).sum())
        mx.async_eval(sums[-1])
    mx.eval(pool, sums)
    assert np.array(pool, copy=False).__array_interface__["data"][0] == address
    assert [float(s) for s in sums] == [1, 3, 6, 10, 15, 21]

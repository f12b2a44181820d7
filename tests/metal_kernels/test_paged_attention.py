import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import backend, kv_cache, paged_attention, reference

BLOCK_SIZE = 16


def make_case(sequences, heads, kv_heads, size_k, size_v, dtype=mx.float16, seed=0):
    """sequences: (rows in this step, context length) of each."""
    rng = np.random.default_rng(seed)
    counts = [-(-context // BLOCK_SIZE) for _, context in sequences]
    num_blocks = sum(counts) + 3
    shape = (num_blocks, kv_heads, BLOCK_SIZE, size_k + size_v)
    pool = mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)
    free = rng.permutation(num_blocks)
    tables = np.zeros((len(sequences), max(counts)), np.int32)
    for i, count in enumerate(counts):
        tables[i, :count], free = free[:count], free[count:]
    rows = [r for r, _ in sequences]
    q = mx.array(rng.standard_normal((sum(rows), heads, size_k)).astype(np.float32))
    return {
        "q": q,
        "pool": pool,
        "block_tables": mx.array(tables),
        "query_starts": mx.array(np.cumsum([0, *rows]).astype(np.int32)),
        "context_lens": mx.array([c for _, c in sequences]),
    }


def both(case, **options):
    settings = {"scale": 0.125, "window": None, "sinks": None, "soft_cap": None} | options
    got = paged_attention.paged_attention(**case, **settings)
    return np.array(got), np.array(reference.paged_attention(**case, **settings))


SEQUENCES = {
    "one token": [(1, 1)],
    "decode": [(1, 7), (1, 130), (1, 64), (1, 1025)],
    "verify": [(5, 90), (3, 3), (8, 600)],
    "prefill": [(70, 70), (33, 200)],
    "mixed": [(1, 700), (40, 560), (4, 17), (1, 16)],
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 2), (4, 4), (7, 1)])
def test_attention_is_that_of_the_reference(name, heads, kv_heads):
    got, expected = both(make_case(SEQUENCES[name], heads, kv_heads, 64, 64))
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize(("size_k", "size_v"), [(128, 128), (80, 80), (96, 48), (20, 36), (256, 8)])
@pytest.mark.parametrize("dtype", [mx.float16, mx.float32])
def test_head_sizes_need_not_be_round(size_k, size_v, dtype):
    got, expected = both(make_case(SEQUENCES["mixed"], 6, 2, size_k, size_v, dtype))
    np.testing.assert_allclose(got, expected, atol=3e-5)


def test_one_latent_serves_all_heads():
    """As DeepSeek's attention runs: the sizes of V2 and V3."""
    got, expected = both(make_case(SEQUENCES["mixed"], 16, 1, 576, 512, mx.float16))
    np.testing.assert_allclose(got, expected, atol=3e-5)


@pytest.mark.parametrize("window", [1, 16, 100, 512, 5000])
def test_a_window_hides_older_tokens(window):
    got, expected = both(make_case(SEQUENCES["mixed"], 8, 2, 64, 64), window=window)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_sinks_and_soft_caps_take_part():
    case = make_case(SEQUENCES["mixed"], 8, 2, 64, 64)
    sinks = mx.random.normal((8,), key=mx.random.key(5))
    for options in ({"sinks": sinks}, {"soft_cap": 2.0}, {"sinks": sinks, "soft_cap": 1.0}):
        got, expected = both(case, **options)
        np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.usefixtures("restored_threads")
def test_a_row_comes_out_the_same_alone_in_a_batch_and_in_a_chunk():
    case = make_case([(60, 640), (1, 90)], 8, 2, 64, 64)
    whole = np.array(paged_attention.paged_attention(**case, scale=0.125))
    for threads in (1, 2):
        backend.set_num_threads(threads)
        for row in (0, 13, 59):
            single = {
                "q": case["q"][row : row + 1],
                "pool": case["pool"],
                "block_tables": case["block_tables"][:1],
                "query_starts": mx.array([0, 1]),
                "context_lens": mx.array([640 - 60 + row + 1]),
            }
            alone = np.array(paged_attention.paged_attention(**single, scale=0.125))
            np.testing.assert_array_equal(alone[0], whole[row])


def test_attention_sees_what_was_written_in_the_same_graph():
    pool = kv_cache.make_pool(4, 2, BLOCK_SIZE, 64, 64, mx.float16)
    k, v = mx.random.normal((3, 2, 64)), mx.random.normal((3, 2, 64))
    pool = kv_cache.kv_write(pool, mx.array([16, 17, 18]), k, v)
    out = paged_attention.paged_attention(
        mx.random.normal((1, 2, 64)) * 0,
        pool,
        block_tables=mx.array([[1]]),
        query_starts=mx.array([0, 1]),
        context_lens=mx.array([3]),
        scale=1.0,
    )
    np.testing.assert_allclose(np.array(out[0]), np.array(v.mean(axis=0)), atol=1e-3)

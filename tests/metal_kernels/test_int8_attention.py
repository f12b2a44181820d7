"""Attention over a pool of scaled bytes, against its definition: the rows unpacked, plain maths."""

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import backend, reference
from metal_kernels.int8_rows import pack_rows
from metal_kernels.kv_cache import kv_write, make_pool
from metal_kernels.paged_attention import paged_attention

BLOCK_SIZE = 16
ISAS = ("scalar", "avx2", "avx512", "amx")
SEQUENCES = {
    "one token": [(1, 1)],
    "decode": [(1, 7), (1, 130), (1, 64), (1, 1025)],
    "verify": [(5, 90), (3, 3), (8, 600)],
    "prefill": [(70, 70), (33, 200)],
    "mixed": [(1, 700), (40, 560), (4, 17), (1, 16)],
}

needs_kernels = pytest.mark.skipif(backend.backend() != "cpu", reason="needs the CPU kernels")


@pytest.fixture
def choose_isa():
    before = backend.describe().isa

    def choose(name):
        if not backend.cpu.choose_isa(name):
            backend.cpu.choose_isa(before)
            pytest.skip(f"this processor has no {name}")

    yield choose
    backend.cpu.choose_isa(before)


def random_rows(rng, *shape):
    """Values whose scale differs from row to row and within a row."""
    values = rng.standard_normal(shape) * np.exp(rng.standard_normal((*shape[:-1], 1)) / 3)
    values[..., : shape[-1] // 3] *= 2
    return mx.array(values.astype(np.float32))


def make_case(sequences, heads, kv_heads, size_k, size_v, seed=0):
    """sequences: (rows in this step, context length) of each."""
    rng = np.random.default_rng(seed)
    counts = [-(-context // BLOCK_SIZE) for _, context in sequences]
    num_blocks = sum(counts) + 3
    rows = (num_blocks, kv_heads, BLOCK_SIZE)
    free = rng.permutation(num_blocks)
    tables = np.zeros((len(sequences), max(counts)), np.int32)
    for i, count in enumerate(counts):
        tables[i, :count], free = free[:count], free[count:]
    num_rows = [r for r, _ in sequences]
    return {
        "q": mx.array(rng.standard_normal((sum(num_rows), heads, size_k)).astype(np.float32)),
        "pool": pack_rows(random_rows(rng, *rows, size_k), random_rows(rng, *rows, size_v)),
        "block_tables": mx.array(tables),
        "query_starts": mx.array(np.cumsum([0, *num_rows]).astype(np.int32)),
        "context_lens": mx.array([c for _, c in sequences]),
        "scale": size_k**-0.5,
    }


def rounded(q):
    """To 16 bits of each head's largest, as our kernels do."""
    values = np.array(q)
    largest = np.abs(values).max(-1, keepdims=True)
    return mx.array(np.rint(values * (np.float32(32639) / largest)) * (largest / 32639))


def check(case, **options):
    got = np.array(paged_attention(**case, **options))
    settings = {"window": None, "sinks": None, "soft_cap": None} | options
    if backend.backend() == "cpu":
        case = case | {"q": rounded(case["q"])}
    expected = np.array(reference.paged_attention(**case, **settings))
    np.testing.assert_allclose(got, expected, atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 2), (4, 4), (7, 1)])
def test_attention_is_that_of_the_reference(name, heads, kv_heads):
    check(make_case(SEQUENCES[name], heads, kv_heads, 64, 64))


@pytest.mark.parametrize(
    ("size_k", "size_v"),
    [(128, 128), (80, 80), (96, 96), (112, 112), (192, 128), (256, 256), (16, 48), (32, 32)],
)
def test_attention_of_every_head_size(size_k, size_v):
    check(make_case(SEQUENCES["mixed"], 6, 2, size_k, size_v))


def test_rounded_queries_cost_less_than_a_hundredth_of_what_bytes_do():
    case = make_case([(8, 900)], 8, 2, 64, 64)
    rng = np.random.default_rng(7)
    k, v = (mx.array(rng.standard_normal((900, 2, 64)).astype(np.float32)) for _ in range(2))
    tables = {"slots": mx.arange(900), "k": k, "v": v}
    blocks = {"block_tables": mx.arange(57)[None]}
    settings = {"window": None, "sinks": None, "soft_cap": None}
    pools = [
        mx.zeros((57, 2, 16, size), dtype) for size, dtype in ((136, mx.uint8), (128, mx.float32))
    ]
    small, exact = (case | blocks | {"pool": reference.kv_write(p, **tables)} for p in pools)
    defined = np.array(reference.paged_attention(**small, **settings))
    lost_to_bytes = np.abs(defined - np.array(reference.paged_attention(**exact, **settings)))
    lost_to_rounding = np.abs(defined - np.array(paged_attention(**small)))
    assert lost_to_rounding.mean() < 0.01 * lost_to_bytes.mean()


def test_one_latent_serves_all_heads():
    """As DeepSeek's attention runs: the sizes of V2 and V3."""
    check(make_case(SEQUENCES["mixed"], 16, 1, 576, 512))


@pytest.mark.parametrize("window", [1, 16, 100, 512, 5000])
def test_a_window_hides_older_tokens(window):
    check(make_case(SEQUENCES["mixed"], 8, 2, 64, 64), window=window)


def test_sinks_and_soft_caps_take_part():
    case = make_case(SEQUENCES["mixed"], 8, 2, 64, 64)
    sinks = mx.random.normal((8,), key=mx.random.key(5))
    for options in ({"sinks": sinks}, {"soft_cap": 2.0}, {"sinks": sinks, "soft_cap": 1.0}):
        check(case, **options)


@pytest.mark.usefixtures("restored_threads")
def test_a_row_comes_out_the_same_alone_in_a_batch_and_in_a_chunk():
    case = make_case([(60, 640), (1, 90)], 8, 2, 64, 64)
    whole = np.array(paged_attention(**case))
    for threads in (1, 2):
        backend.set_num_threads(threads)
        for row in (0, 13, 59):
            single = case | {
                "q": case["q"][row : row + 1],
                "block_tables": case["block_tables"][:1],
                "query_starts": mx.array([0, 1]),
                "context_lens": mx.array([640 - 60 + row + 1]),
            }
            np.testing.assert_array_equal(np.array(paged_attention(**single))[0], whole[row])


@needs_kernels
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("size_k", "size_v"), [(64, 64), (80, 80), (192, 128)])
def test_every_instruction_set_attends_and_packs_alike(isa, size_k, size_v, choose_isa):
    case = make_case([(1, 70), (20, 65)], 6, 2, size_k, size_v)
    choose_isa("scalar")
    expected = np.array(paged_attention(**case))
    choose_isa(isa)
    np.testing.assert_allclose(np.array(paged_attention(**case)), expected, rtol=1e-5, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("size_k", "size_v"), [(64, 64), (80, 80), (16, 48), (192, 128), (576, 512)]
)
def test_rows_are_written_with_the_bits_of_their_definition(isa, size_k, size_v, choose_isa):
    choose_isa(isa)
    rng = np.random.default_rng(3)
    k, v = random_rows(rng, 9, 3, size_k), random_rows(rng, 9, 3, size_v)
    k[2, 1] = 0.0
    k[3, 0, :16] = 1e-7
    v[4] *= 1e4
    slots = mx.array([5, 0, -1, 31, 16, 7, 8, 9, 400])
    pool = make_pool(4, 3, 8, size_k, size_v, mx.uint8)
    expected = reference.kv_write(mx.zeros(pool.shape, mx.uint8), slots[:8], k[:8], v[:8])
    assert mx.array_equal(kv_write(pool, slots, k, v), expected)


@needs_kernels
def test_what_was_written_in_the_same_graph_is_seen():
    pool = make_pool(4, 2, BLOCK_SIZE, 64, 64, mx.uint8)
    k, v = mx.random.normal((3, 2, 64)), mx.random.normal((3, 2, 64))
    pool = kv_write(pool, mx.array([16, 17, 18]), k, v)
    out = paged_attention(
        mx.zeros((1, 2, 64)),
        pool,
        block_tables=mx.array([[1]]),
        query_starts=mx.array([0, 1]),
        context_lens=mx.array([3]),
        scale=1.0,
    )
    np.testing.assert_allclose(np.array(out[0]), np.array(v.mean(axis=0)), atol=0.02)

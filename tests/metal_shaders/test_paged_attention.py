"""Paged attention, row by row, on the simulator against the plain definition."""

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.metal import trust
from metal_kernels.metal.attention_plan import choose_shape, make_plan
from metal_kernels.metal.paged_attention import MAX_KERNEL_ROWS, paged_attention

HEAD_SIZES = [32, 64, 80, 96, 128, 192, 256]
TOLERANCE = {mx.float16: 1e-3, mx.bfloat16: 8e-3, mx.float32: 1e-5}


@dataclass(frozen=True)
class Case:
    """Sequences of `contexts` tokens, the last `query_lens` of them asking."""

    contexts: list[int]
    query_lens: list[int]
    num_heads: int = 8
    num_kv_heads: int = 2
    head_size: int = 64
    value_size: int = 64
    block_size: int = 16
    dtype: mx.Dtype = mx.float32
    pool_dtype: mx.Dtype | None = None
    options: dict[str, Any] = field(default_factory=dict)
    has_sinks: bool = False
    seed: int = 0


def make_inputs(case, simulator=None):
    """Arguments of `paged_attention`; blocks are scattered, the rest of the pool is NaN."""
    rng = np.random.default_rng(case.seed)
    width = case.head_size + case.value_size
    lengths = [-(-context // case.block_size) for context in case.contexts]
    num_blocks = sum(lengths) + 3
    order = rng.permutation(num_blocks)
    tables = np.full((len(lengths), max(lengths) + 1), -1, np.int32)
    shape = (num_blocks, case.num_kv_heads, case.block_size, width)
    pool, defined = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    for i, (length, context) in enumerate(zip(lengths, case.contexts, strict=True)):
        tables[i, :length], order = order[:length], order[length:]
        for token in range(context):
            at = tables[i, token // case.block_size], slice(None), token % case.block_size
            pool[at] = rng.standard_normal((case.num_kv_heads, width))
            defined[at] = True
    starts = np.cumsum([0, *case.query_lens]).astype(np.int32)
    q = rng.standard_normal((starts[-1], case.num_heads, case.head_size)).astype(np.float32)
    arrays = {
        "q": mx.array(q).astype(case.dtype),
        "pool": mx.array(pool).astype(case.pool_dtype or case.dtype),
        "block_tables": mx.array(tables),
        "query_starts": mx.array(starts),
        "context_lens": mx.array(np.array(case.contexts, np.int32)),
        "scale": case.head_size**-0.5,
        **case.options,
    }
    if case.has_sinks:
        arrays["sinks"] = mx.array(rng.standard_normal(case.num_heads).astype(np.float32))
    if simulator:
        simulator.mark_undefined(arrays["pool"], ~defined)
    return arrays


def check(case, simulator):
    inputs = make_inputs(case, simulator)
    out = paged_attention(**inputs)
    defaults = {"window": None, "sinks": None, "soft_cap": None}
    wide = {k: inputs[k].astype(mx.float32) for k in ("q", "pool")}
    expected = reference.paged_attention(**{**defaults, **inputs, **wide})
    assert out.dtype == case.dtype
    assert out.shape == expected.shape
    tolerance = TOLERANCE[case.dtype]
    np.testing.assert_allclose(
        np.array(out.astype(mx.float32)), np.array(expected), rtol=tolerance, atol=tolerance
    )
    return inputs, out


@pytest.fixture
def no_matrices():
    """The kernel that takes rows one by one takes them all, as where the other is broken."""
    with trust.avoiding("paged_attention_matrix"):
        yield


pytestmark = pytest.mark.usefixtures("no_matrices")

DECODE = Case([1, 17, 200, 33], [1, 1, 1, 1])


@pytest.mark.parametrize(
    ("head_size", "dtype"),
    [*product(HEAD_SIZES, [mx.float16, mx.bfloat16]), (80, mx.float32), (128, mx.float32)],
    ids=str,
)
def test_decode_of_every_head_size(simulate, head_size, dtype):
    check(replace(DECODE, head_size=head_size, value_size=head_size, dtype=dtype), simulate(seed=1))


@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(2, 2), (6, 2), (10, 2), (7, 1), (64, 1)])
def test_every_sharing_of_kv_heads(simulate, num_heads, num_kv_heads):
    check(replace(DECODE, num_heads=num_heads, num_kv_heads=num_kv_heads), simulate(seed=2))


@pytest.mark.parametrize("query_len", [2, 3, 5, 8, 16])
@pytest.mark.parametrize("head_size", [64, 256])
def test_verify_rows_are_causal(simulate, query_len, head_size):
    case = Case([70, 40], [query_len, 1], head_size=head_size, value_size=head_size)
    check(case, simulate(seed=query_len))


@pytest.mark.parametrize("block_size", [8, 16, 32])
def test_block_sizes(simulate, block_size):
    check(replace(DECODE, block_size=block_size), simulate())


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32], ids=str)
def test_a_half_pool_under_other_activations(simulate, dtype):
    case = Case([30, 700, 60], [1, 2, 30], dtype=dtype, pool_dtype=mx.float16)
    check(case, simulate())


def test_keys_and_values_of_different_sizes(simulate):
    check(Case([300], [2], num_heads=4, head_size=192, value_size=128), simulate())


def test_heads_too_wide_for_the_kernel_are_gathered(simulate):
    simulator = simulate()
    check(Case([40, 7], [1, 3], num_heads=4, head_size=288, value_size=256), simulator)
    assert [launch.kernel for launch in simulator.launches] == ["gather_kv", "gather_kv"]


OPTIONS: dict[str, dict[str, Any]] = {
    "window": {"options": {"window": 20}},
    "sinks": {"has_sinks": True},
    "soft_cap": {"options": {"soft_cap": 5.0}},
    "all": {"options": {"window": 300, "soft_cap": 5.0}, "has_sinks": True},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_options_with_one_split_and_with_many(simulate, option, seed):
    case = Case([30, 700, 650], [1, 2, 1], seed=seed, **OPTIONS[option])
    simulator = simulate(seed=seed)
    check(case, simulator)
    check(replace(case, contexts=[30, 40, 100]), simulator)


def test_short_contexts_take_one_launch_and_long_ones_two(simulate):
    simulator = simulate()
    check(Case([200], [1]), simulator)
    assert [launch.kernel for launch in simulator.launches] == ["paged_attention"]
    check(Case([1500], [1]), simulator)
    names = [launch.kernel for launch in simulator.launches[1:]]
    assert names == ["paged_attention", "paged_attention_merge"]
    assert make_plan.cache_info().currsize >= 2


@pytest.mark.parametrize("option", [*OPTIONS, "none"])
def test_prefill_beside_decode(simulate, option):
    case = Case([50, 90, 33, 20], [1, 40, 33, 2], **OPTIONS.get(option, {}))
    if option == "all":
        case = replace(case, has_sinks=False)
    check(case, simulate())


READ_ONCE = {
    "gqa4": Case([2000], [1], num_heads=8, num_kv_heads=2),
    "gqa8": Case([2000], [1], num_heads=16, head_size=128, value_size=128),
    "mha": Case([2000, 900, 1200], [1, 1, 1], num_heads=2, head_size=80, value_size=80),
    "mla": Case([1300], [1], num_heads=4, head_size=192, value_size=128),
    "wide heads": Case([900], [1], num_heads=8, head_size=256, value_size=256),
    "5 rows": Case([1600], [5], head_size=128, value_size=128),
    "16 rows": Case([2100], [16], num_heads=4),
}


@pytest.mark.parametrize("name", READ_ONCE)
def test_keys_and_values_are_fetched_once(simulate, name):
    case = replace(READ_ONCE[name], dtype=mx.float16)
    simulator = simulate(cache_bytes=64 * 1024)
    inputs, out = check(case, simulator)
    token_bytes = case.num_kv_heads * (case.head_size + case.value_size) * 2
    pool_bytes = sum(case.contexts) * token_bytes
    assert pool_bytes > 6 * simulator.cache_bytes
    assert simulator.launches[0].traffic["pool"].fetched == pool_bytes
    assert len(simulator.launches) == 2
    # The partial results of splits come on top.
    total_bytes = sum(launch.device_bytes for launch in simulator.launches)
    assert total_bytes <= 1.05 * (pool_bytes + inputs["q"].nbytes + out.nbytes)


@pytest.mark.parametrize("context", [16, 100, 250, 500])
def test_a_short_context_costs_no_more_than_if_it_were_contiguous(simulate, context):
    """One launch, and above the keys and values of its tokens only a table entry per block."""
    simulator = simulate(cache_bytes=64 * 1024)
    case = Case([context], [1], num_heads=32, num_kv_heads=8, head_size=128, value_size=128)
    inputs, out = check(replace(case, dtype=mx.float16), simulator)
    (launch,) = simulator.launches
    contiguous_bytes = context * 8 * 256 * 2 + inputs["q"].nbytes + out.nbytes
    own_bytes = 8 * (4 * inputs["block_tables"].size + 128)  # by each head: table, tile, sinks
    assert launch.device_bytes <= contiguous_bytes + own_bytes
    assert launch.traffic["pool"].fetched == context * 8 * 256 * 2


SHAPE_CASES = [
    (query_len, num_heads, head_size)
    for query_len in (1, 2, 4, 8, 17)
    for num_heads in (1, 2)
    for head_size in (64, 192)
]


@pytest.mark.parametrize(("query_len", "num_heads", "head_size"), SHAPE_CASES)
def test_shapes_of_threadgroups(simulate, query_len, num_heads, head_size):
    case = Case(
        [300, 40], [query_len, 1], num_heads=num_heads, num_kv_heads=1, head_size=head_size,
        value_size=head_size, has_sinks=True,
    )  # fmt: skip
    check(case, simulate(seed=query_len))


def test_those_are_all_shapes_there_are():
    tested = {choose_shape(n * heads, size) for n, heads, size in SHAPE_CASES}
    rows = range(1, MAX_KERNEL_ROWS * 64)
    assert tested == {choose_shape(n, size) for n in rows for size in (64, 128, 192, 256)}


def test_a_window_reads_nothing_before_it(simulate):
    simulator = simulate(cache_bytes=64 * 1024)
    check(Case([3000], [1], dtype=mx.float16, options={"window": 512}), simulator)
    seen_bytes = 512 * 2 * 128 * 2
    assert simulator.launches[0].traffic["pool"].fetched <= 1.05 * seen_bytes

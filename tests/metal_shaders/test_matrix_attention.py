"""Attention by 8x8 matrices on the simulator: held to what attention row by row is held to."""

from dataclasses import replace
from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels.metal import trust
from metal_kernels.metal.attention_kernels import least_matrix_rows
from metal_kernels.metal.attention_plan import NEVER, Shape, choose_shape
from tests.metal_shaders.test_paged_attention import OPTIONS, Case, check

KERNEL = "paged_attention_matrix"
DECODE = Case([1, 17, 200, 33], [1, 1, 1, 1], num_heads=16)


def check_matrices(case, simulator):
    """That the rows went by matrices, and came out right."""
    results = check(case, simulator)
    assert {x.kernel for x in simulator.launches} <= {KERNEL, "paged_attention_merge"}
    return results


@pytest.mark.parametrize(
    ("head_size", "dtype"), list(product([32, 64, 96, 128], [mx.float16, mx.bfloat16, mx.float32])),
    ids=str,
)  # fmt: skip
def test_decode_of_every_head_size(simulate, head_size, dtype):
    case = replace(DECODE, head_size=head_size, value_size=head_size, dtype=dtype)
    check_matrices(case, simulate(seed=1))


@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(10, 2), (7, 1), (64, 1)])
def test_every_sharing_of_kv_heads(simulate, num_heads, num_kv_heads):
    case = replace(DECODE, num_heads=num_heads, num_kv_heads=num_kv_heads)
    check_matrices(case, simulate(seed=2))


@pytest.mark.parametrize("query_len", [2, 3, 5, 8, 17])
def test_verify_rows_are_causal(simulate, query_len):
    check_matrices(Case([70, 40], [query_len, 1]), simulate(seed=query_len))


@pytest.mark.parametrize("option", OPTIONS)
def test_options_with_one_split_and_with_many(simulate, option):
    case = Case([30, 700, 650], [1, 2, 1], num_heads=16, **OPTIONS[option])
    simulator = simulate(seed=3)
    check_matrices(case, simulator)
    check_matrices(replace(case, contexts=[30, 40, 100]), simulator)


def test_keys_and_values_of_different_sizes(simulate):
    check_matrices(Case([300], [2], num_heads=8, head_size=96, value_size=80), simulate())


@pytest.mark.parametrize("block_size", [8, 32])
def test_block_sizes(simulate, block_size):
    check_matrices(replace(DECODE, block_size=block_size), simulate())


@pytest.mark.parametrize(
    ("context", "num_rows", "most"), [(2000, 2, 1.05), (2000, 4, 1.05), (4100, 16, 1.12)]
)
def test_keys_and_values_are_fetched_once(simulate, context, num_rows, most):
    """By up to 64 rows: 16 tokens of four heads each. So many give up bytes to fill the cores."""
    simulator = simulate(cache_bytes=64 * 1024)
    case = Case([context], [num_rows], num_heads=4, num_kv_heads=1, dtype=mx.float16)
    inputs, out = check_matrices(case, simulator)
    assert len(simulator.launches) == 2
    pool_bytes = context * 128 * 2
    assert simulator.launches[0].traffic["pool"].fetched == pool_bytes
    total_bytes = sum(launch.device_bytes for launch in simulator.launches)
    assert total_bytes <= most * (pool_bytes + inputs["q"].nbytes + out.nbytes)


def test_rows_and_sizes_choose_the_kernel(monkeypatch):
    assert least_matrix_rows(128, 128, "") == 5
    for sizes in ((80, 80), (192, 128), (128, 72)):
        assert least_matrix_rows(*sizes, "") == NEVER
    with trust.avoiding(KERNEL):
        assert least_matrix_rows(128, 128, "") == NEVER
    monkeypatch.setenv("LOCALLLM_METAL_TUNING", "attention_matrix_rows=2")
    assert least_matrix_rows(128, 128, "") == 2
    assert choose_shape(4, 128, 5) == Shape(4, 1, 4, uses_matrices=False)
    shapes = [choose_shape(num_rows, 128, 5) for num_rows in (5, 9, 17, 33, 70)]
    layouts = [(1, 4), (2, 4), (4, 2), (8, 1), (8, 1)]
    assert shapes == [Shape(8, tiles, stripes, True) for tiles, stripes in layouts]


def test_its_results_are_those_of_the_kernel_beside_it(simulate):
    case = replace(DECODE, dtype=mx.float16)
    _, by_matrices = check_matrices(case, simulate())
    with trust.avoiding(KERNEL):
        _, by_rows = check(case, simulate())
    np.testing.assert_allclose(
        np.array(by_matrices, np.float32), np.array(by_rows, np.float32), atol=1e-3
    )

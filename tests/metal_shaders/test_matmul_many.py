"""Several matrices of one input in a single launch: the products that each gives alone."""

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels.metal.quantized_matmul import StoredBlocks, matmul_many
from tests.metal_shaders.test_quantized_matmul import check, check_small, make_case, weights

MIXTURES = [
    ("Q4_K", "Q4_K"),
    ("Q4_K", "Q4_K", "Q6_K"),
    ("Q5_K", "Q4_K", "Q5_K"),
    ("Q8_0", "Q8_0", "Q8_0"),
    ("Q3_K", "Q2_K", "IQ4_XS"),
    ("MXFP4", "Q4_0", "Q5_1"),
    ("Q5_0", "Q4_1", "IQ4_NL"),
]


def make_matrices(quantizations, sizes, num_columns, num_x, dtype=mx.float16):
    cases = [
        make_case(quantization, num_rows, num_columns, num_x, dtype, seed=0)
        for quantization, num_rows in zip(quantizations, sizes, strict=True)
    ]
    x = cases[0][0]
    wide = np.array(x.astype(mx.float32)).astype(np.float64)
    stored = [StoredBlocks(case[1], q) for case, q in zip(cases, quantizations, strict=True)]
    return x, stored, [wide @ weights(m.quantization, np.array(m.blocks)).T for m in stored]


@pytest.mark.parametrize("quantizations", MIXTURES, ids="-".join)
@pytest.mark.parametrize("num_x", [1, 3, 4])
def test_mat_vecs_of_one_launch(simulate, quantizations, num_x):
    simulator = simulate(seed=num_x)
    sizes = (21, 3, 9)[: len(quantizations)]
    x, matrices, exact = make_matrices(quantizations, sizes, 768, num_x)
    for y, product in zip(matmul_many(x, matrices), exact, strict=True):
        check(y, product)
    assert len(simulator.launches) == 1


@pytest.mark.parametrize("quantizations", MIXTURES, ids="-".join)
@pytest.mark.parametrize(("num_x", "dtype"), [(5, mx.float16), (32, mx.float32)])
def test_small_products_of_one_launch(simulate, quantizations, num_x, dtype):
    simulator = simulate(seed=num_x % 3)
    sizes = (21, 3, 40)[: len(quantizations)]
    x, matrices, exact = make_matrices(quantizations, sizes, 512, num_x, dtype)
    for y, product, matrix in zip(matmul_many(x, matrices), exact, matrices, strict=True):
        check_small(y, product, x, weights(matrix.quantization, np.array(matrix.blocks)))
    assert len(simulator.launches) == 1


@pytest.mark.parametrize(("num_x", "most"), [(1, 1.03), (4, 1.03), (8, 1.05)])
def test_weights_of_a_joint_launch_are_read_once(simulate, num_x, most):
    simulator = simulate(cache_bytes=192 * 1024)
    x, matrices, _ = make_matrices(("Q4_K", "Q4_K", "Q6_K"), (256, 64, 64), 4096, num_x)
    outputs = matmul_many(x, matrices)
    ideal = x.nbytes + sum(m.blocks.nbytes for m in matrices) + sum(y.nbytes for y in outputs)
    (launch,) = simulator.launches
    assert ideal > 4 * simulator.cache_bytes
    assert launch.device_bytes <= most * ideal


def test_many_rows_are_multiplied_matrix_by_matrix(simulate):
    simulator = simulate()
    x, matrices, exact = make_matrices(("Q4_K", "Q6_K"), (19, 8), 256, 40, mx.float32)
    for y, product in zip(matmul_many(x.reshape(4, 10, 256), matrices), exact, strict=True):
        check(y.reshape(40, -1), product)
    names = [launch.kernel for launch in simulator.launches]
    assert names == ["dequantize_rows_Q4_K", "dequantize_rows_Q6_K"]


def test_no_rows_launch_nothing(simulate):
    simulator = simulate()
    _, matrices, _ = make_matrices(("Q4_K", "Q6_K"), (19, 8), 256, 1)
    outputs = matmul_many(mx.zeros((0, 1, 256)), matrices)
    assert [y.shape for y in outputs] == [(0, 1, 19), (0, 1, 8)]
    assert not simulator.launches

"""Products with matrices picked by id, on the simulator, against gguf's dequantizer in float64."""

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels.metal import grouped_matmul
from metal_kernels.metal.block_formats import FORMATS, random_blocks
from tests.metal_shaders.blocks import weights
from tests.metal_shaders.test_quantized_matmul import SMALL_BLOCKS, check

NUM_MATRICES = 5


def make_case(quantization, num_outputs, num_columns, num_x, repeats, dtype=mx.float16):
    rng = np.random.default_rng(num_x)
    blocks = random_blocks(quantization, NUM_MATRICES * num_outputs, num_columns, rng)
    x = mx.array(rng.standard_normal((num_x, num_columns)).astype(np.float32)).astype(dtype)
    ids = rng.integers(0, NUM_MATRICES, num_x * repeats)
    stack = weights(quantization, blocks).reshape(NUM_MATRICES, num_outputs, num_columns)
    rows = np.array(x.astype(mx.float32)).astype(np.float64).repeat(repeats, axis=0)
    exact = np.stack([stack[e] @ row for e, row in zip(ids, rows, strict=True)])
    return x, mx.array(blocks), mx.array(ids, dtype=mx.int32), exact


@pytest.mark.parametrize("quantization", sorted(FORMATS))
@pytest.mark.parametrize(("num_x", "repeats"), [(1, 2), (3, 4)])
def test_each_row_meets_its_own_matrix(simulate, quantization, num_x, repeats):
    simulate(seed=num_x)
    x, blocks, ids, exact = make_case(quantization, 13, 512, num_x, repeats)
    check(grouped_matmul.matmul(x, blocks, ids, quantization, NUM_MATRICES), exact)


@pytest.mark.parametrize("quantization", SMALL_BLOCKS)
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32])
def test_any_number_of_small_blocks_and_any_type(simulate, quantization, dtype):
    simulate()
    for num_columns in (32, 96, 544):
        x, blocks, ids, exact = make_case(quantization, 9, num_columns, 2, 2, dtype)
        y = grouped_matmul.matmul(x, blocks, ids, quantization, NUM_MATRICES)
        assert y.dtype == dtype
        check(y, exact)


def test_many_rows_multiply_dequantized_weights(simulate):
    simulator = simulate()
    x, blocks, ids, exact = make_case("Q4_K", 19, 512, 70, 2, mx.float32)
    check(grouped_matmul.matmul(x, blocks, ids, "Q4_K", NUM_MATRICES), exact)
    assert [launch.kernel for launch in simulator.launches] == ["dequantize_rows_Q4_K"]


def test_only_the_matrices_that_are_named_are_read(simulate):
    simulator = simulate(cache_bytes=192 * 1024)
    x, blocks, _, _ = make_case("Q4_K", 250, 2048, 2, 1)
    ids = mx.array([3, 1], dtype=mx.int32)
    y = grouped_matmul.matmul(x, blocks, ids, "Q4_K", NUM_MATRICES)
    read = blocks.nbytes * 2 // NUM_MATRICES + x.nbytes + y.nbytes
    assert simulator.launches[-1].device_bytes <= 1.05 * read

"""Quantized products on the simulator against gguf's own dequantizer in float64."""

from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import affine
from metal_kernels.metal import quantized_matmul
from metal_kernels.metal.block_formats import FORMATS, random_blocks
from tests.metal_shaders.blocks import weights

QUANTIZATIONS = sorted(FORMATS)
# Half a step of the output type; float32 sums err by what large terms leave after cancelling.
TOLERANCE = {mx.float16: 2**-11, mx.bfloat16: 2**-8, mx.float32: 1e-6}
SUM_TOLERANCE = 4e-6


SMALL_BLOCKS = [name for name in QUANTIZATIONS if FORMATS[name].values == 32]


def variants(row_counts):
    """Formats, types and rows of x: Q4_K in all combinations, the others mostly in float16."""
    return [
        (quantization, dtype, num_x)
        for quantization, dtype, num_x in product(QUANTIZATIONS, TOLERANCE, row_counts)
        if quantization == "Q4_K"
        or dtype == mx.float16
        or (dtype == mx.bfloat16 and num_x == row_counts[1])
    ]


def make_case(quantization, num_rows, num_columns, num_x, dtype=mx.float16, seed=0):
    rng = np.random.default_rng(seed)
    blocks = random_blocks(quantization, num_rows, num_columns, rng)
    x = mx.array(rng.standard_normal((num_x, num_columns)).astype(np.float32)).astype(dtype)
    exact = np.array(x.astype(mx.float32)).astype(np.float64) @ weights(quantization, blocks).T
    return x, mx.array(blocks), exact


def check(y, exact):
    values = np.array(y.astype(mx.float32))
    scale = np.sqrt(np.mean(np.square(exact))) * SUM_TOLERANCE
    np.testing.assert_allclose(values, exact, rtol=1.01 * TOLERANCE[y.dtype], atol=scale)


@pytest.mark.parametrize(("quantization", "dtype", "num_x"), variants([1, 2, 3, 4]))
def test_matvec_equals_the_product_with_dequantized_weights(simulate, quantization, dtype, num_x):
    simulate(seed=num_x)
    for num_rows, num_columns in ((3, 256), (9, 768), (21, 1280)):
        x, blocks, exact = make_case(quantization, num_rows, num_columns, num_x, dtype)
        y = quantized_matmul.matvec(x, blocks, quantization)
        assert y.dtype == dtype
        check(y, exact)


@pytest.mark.parametrize("quantization", SMALL_BLOCKS)
def test_matvec_takes_any_number_of_small_blocks(simulate, quantization):
    simulate()
    for num_columns in (32, 96, 544):
        x, blocks, exact = make_case(quantization, 5, num_columns, 1)
        check(quantized_matmul.matvec(x, blocks, quantization), exact)


@pytest.mark.parametrize(
    ("quantization", "num_x"), [*product(QUANTIZATIONS, [1]), ("Q4_K", 4), ("Q6_K", 4)]
)
def test_matvec_reads_weights_once_and_little_else(simulate, quantization, num_x):
    simulator = simulate(cache_bytes=192 * 1024)
    x, blocks, _ = make_case(quantization, 250, 8192, num_x)
    y = quantized_matmul.matvec(x, blocks, quantization)
    ideal = blocks.nbytes + x.nbytes + y.nbytes
    assert blocks.nbytes > 3 * simulator.cache_bytes
    assert simulator.launches[-1].device_bytes <= 1.03 * ideal
    # Lanes that share a block's head ask for it together: one fetch, several requests.
    assert simulator.launches[-1].traffic["w0"].requested <= 2.6 * blocks.nbytes


def check_small(y, exact, x, w):
    """As `check`; with float16 each weight may be off by half a step, however small it is."""
    inputs = np.abs(np.array(x.astype(mx.float32)))
    slack = SUM_TOLERANCE * inputs @ np.abs(w).T
    if x.dtype == mx.float16:
        slack += inputs @ np.maximum(2**-11 * np.abs(w), 2**-25).T
    error = np.abs(np.array(y.astype(mx.float32)) - exact)
    assert (error <= TOLERANCE[x.dtype] * 1.01 * np.abs(exact) + slack).all()
    # Roundings are independent, so that their sum grows no faster than the result.
    most = (TOLERANCE[x.dtype] + SUM_TOLERANCE) * np.sqrt(np.mean(exact**2))
    assert np.sqrt(np.mean(error**2)) <= most


@pytest.mark.parametrize(("quantization", "dtype", "num_x"), variants([5, 13, 23, 32]))
def test_small_batches_equal_the_product_with_dequantized_weights(
    simulate, quantization, dtype, num_x
):
    simulate(seed=num_x % 3)
    x, blocks, exact = make_case(quantization, 21, 768, num_x, dtype)
    y = quantized_matmul.matmul(x, blocks, quantization)
    check_small(y, exact, x, weights(quantization, np.array(blocks)))


@pytest.mark.parametrize("quantization", SMALL_BLOCKS)
def test_small_batches_take_any_number_of_small_blocks(simulate, quantization):
    simulate()
    for num_columns in (32, 96, 544):
        x, blocks, exact = make_case(quantization, 40, num_columns, 6)
        y = quantized_matmul.matmul(x, blocks, quantization)
        check_small(y, exact, x, weights(quantization, np.array(blocks)))


@pytest.mark.parametrize(
    ("quantization", "num_x"), [*product(QUANTIZATIONS, [8]), ("Q4_K", 32), ("Q6_K", 32)]
)
def test_small_batches_read_weights_once(simulate, quantization, num_x):
    simulator = simulate(cache_bytes=192 * 1024)
    x, blocks, _ = make_case(quantization, 608, 2048, num_x)
    y = quantized_matmul.small_matmul(x, blocks, quantization)
    ideal = blocks.nbytes + x.nbytes + y.nbytes
    assert blocks.nbytes > 2 * simulator.cache_bytes
    assert simulator.launches[-1].device_bytes <= 1.05 * ideal


def test_no_rows_launch_nothing(simulate):
    simulator = simulate()
    _, blocks, _ = make_case("Q8_0", 5, 64, 1)
    assert quantized_matmul.matmul(mx.zeros((0, 1, 64)), blocks, "Q8_0").shape == (0, 1, 5)
    assert not simulator.launches


def test_wide_outputs_take_four_tiles(simulate):
    simulate()
    x, blocks, exact = make_case("Q4_0", 4100, 32, 9)
    y = quantized_matmul.matmul(x, blocks, "Q4_0")
    check_small(y, exact, x, weights("Q4_0", np.array(blocks)))


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_taken_rows_equal_ggufs(simulate, quantization, dtype):
    simulate()
    _, blocks, _ = make_case(quantization, 7, 512, 1)
    ids = mx.array([[3, 0], [6, 3]])
    y = quantized_matmul.take_rows(blocks, quantization, ids, dtype)
    expected = weights(quantization, np.array(blocks))[np.array(ids)]
    assert y.shape == (2, 2, 512)
    check(y, expected)
    if dtype == mx.float32:
        np.testing.assert_array_equal(y, expected.astype(np.float32))


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_long_inputs_multiply_dequantized_weights(simulate, quantization):
    simulator = simulate()
    x, blocks, exact = make_case(quantization, 19, 512, 40, mx.float32)
    y = quantized_matmul.matmul(x.reshape(2, 20, 512), blocks, quantization)
    assert y.shape == (2, 20, 19)
    check(y.reshape(40, 19), exact)
    assert [launch.kernel for launch in simulator.launches] == [f"dequantize_rows_{quantization}"]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("num_x", [2, 9])
def test_products_are_those_of_mlxs_own_form(simulate, quantization, num_x):
    """A second oracle: what the matrix becomes where its kernels cannot be trusted."""
    simulate()
    x, blocks, _ = make_case(quantization, 13, 512, num_x, mx.float32)
    wide = affine.from_blocks(quantization, np.array(blocks), 512, scale_dtype=mx.float32)
    expected = np.array(affine.matmul(x, wide)).astype(np.float64)
    y = np.array(quantized_matmul.matmul(x, blocks, quantization))
    exact = 2e-6 if isinstance(wide, affine.AffineMatrix) else 1e-3  # the rest is dense float16
    np.testing.assert_allclose(y, expected, rtol=0, atol=exact * np.abs(expected).max())

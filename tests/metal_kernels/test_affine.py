import mlx.core as mx
import numpy as np
import pytest
from random_blocks import BLOCK_TYPES, DENSE_TYPES, random_blocks

from metal_kernels import affine, reference

EXACT = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4")
EXACT_IN_FLOAT32 = (*EXACT, "Q4_K", "Q5_K", "IQ4_XS")


def values_of(name, num_columns=512, **options):
    blocks = random_blocks(name, 9, num_columns)
    matrix = affine.from_blocks(name, blocks, num_columns, **options)
    assert isinstance(matrix, affine.AffineMatrix)
    values = np.array(affine.take_rows(matrix, mx.arange(9)))
    return values, reference.dequantize_blocks(name, blocks, num_columns)


@pytest.mark.parametrize("name", EXACT)
def test_these_types_become_mlxs_own_without_loss(name):
    values, expected = values_of(name)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EXACT_IN_FLOAT32)
def test_with_wide_scales_these_types_are_exact(name):
    values, expected = values_of(name, scale_dtype=mx.float32)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(values, expected, rtol=0, atol=largest * 2.0**-23)


@pytest.mark.parametrize("name", ["Q4_K", "Q5_K", "IQ4_XS"])
def test_two_scales_in_one_are_right_to_float16(name):
    values, expected = values_of(name)
    assert np.abs(values - expected).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize("name", [n for n in (*BLOCK_TYPES, *DENSE_TYPES) if n not in EXACT])
def test_the_product_of_any_type_is_close(name):
    blocks = random_blocks(name, 9, 256)
    expected = reference.dequantize_blocks(name, blocks, 256)
    matrix = affine.from_blocks(name, blocks, 256)
    x = mx.random.normal((3, 256), key=mx.random.key(0))
    got, wide = np.array(affine.matmul(x, matrix)), np.array(x) @ expected.T
    assert np.sqrt(np.mean((got - wide) ** 2) / np.mean(wide**2)) < 6e-3

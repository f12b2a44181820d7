"""Every instruction set gives the bits of the scalar definition (AVX2 up to the last, for some)."""

import mlx.core as mx
import numpy as np
import pytest
from random_blocks import BLOCK_TYPES, DENSE_TYPES, random_blocks

from metal_kernels import backend, quantized

pytestmark = pytest.mark.skipif(backend.backend() != "cpu", reason="needs the CPU kernels")

ISAS = ("avx2", "avx512", "amx")


@pytest.fixture
def choose_isa():
    before = backend.describe().isa

    def choose(name):
        if not backend.cpu.choose_isa(name):
            backend.cpu.choose_isa(before)
            pytest.skip(f"this processor has no {name}")

    yield choose
    backend.cpu.choose_isa(before)


def quantized_in_superblocks(name):
    return name in (*quantized.K_QUANTS, "IQ4_XS")


def product(matrix, x):
    return np.array(quantized.matmul(x, matrix))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", BLOCK_TYPES)
def test_quantized_products_are_the_same_bits(isa, name, choose_isa):
    num_columns = 1056 if len(name) == 4 and name[3] in "01" else 1024
    matrix = quantized.load_blocks(name, random_blocks(name, 37, num_columns), num_columns)
    x = mx.random.normal((37, num_columns), key=mx.random.key(0)) * 3
    x[3] = 0
    x[4, 100] = 1000
    choose_isa("scalar")
    expected = product(matrix, x)
    choose_isa(isa)
    for count in (1, 2, 3, 4, 5, 8, 9, 16, 37):
        got = product(matrix, x[:count])
        if isa == "avx2" and quantized_in_superblocks(name):
            np.testing.assert_allclose(got, expected[:count], rtol=1e-5, atol=1e-4)
        else:
            np.testing.assert_array_equal(got, expected[:count])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", quantized.AFFINE_BITS)
@pytest.mark.parametrize("group_size", quantized.AFFINE_GROUP_SIZES)
def test_affine_products_are_the_same_bits(isa, bits, group_size, choose_isa):
    parts = mx.quantize(mx.random.normal((40, 384), key=mx.random.key(1)), group_size, bits)
    matrix = quantized.load_affine(*parts, group_size=group_size, bits=bits)
    x = mx.random.normal((21, 384), key=mx.random.key(2))
    choose_isa("scalar")
    expected = product(matrix, x)
    choose_isa(isa)
    for count in (1, 3, 5, 8, 9, 16, 21):
        np.testing.assert_array_equal(product(matrix, x[:count]), expected[:count])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", DENSE_TYPES)
def test_dense_products_agree(isa, name, choose_isa):
    matrix = quantized.load_blocks(name, random_blocks(name, 37, 515), 515)
    x = mx.random.normal((37, 515), key=mx.random.key(0))
    choose_isa("scalar")
    expected = product(matrix, x)
    choose_isa(isa)
    np.testing.assert_allclose(product(matrix, x), expected, rtol=1e-4, atol=1e-3)

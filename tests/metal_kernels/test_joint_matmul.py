"""Joint products against one after the other, to the last bit."""

import mlx.core as mx
import numpy as np
import pytest
from random_blocks import random_blocks

from metal_kernels import joint_matmul, quantized
from metal_kernels.backend import backend
from metal_kernels.quantized import QuantizedMatrix

pytestmark = pytest.mark.skipif(backend() != "cpu", reason="needs the CPU kernels")


def matrix(quantization: str, num_rows: int) -> QuantizedMatrix:
    blocks = random_blocks(quantization, num_rows, 512, seed=num_rows)
    return quantized.load_blocks(quantization, blocks, 512)


@pytest.mark.parametrize("num_inputs", [1, 2, 5, 16, 70])
def test_joint_products_are_the_single_ones(num_inputs):
    matrices = [matrix("Q4_K", 48), matrix("Q6_K", 17), matrix("F16", 32), matrix("F32", 5)]
    x = mx.random.normal((num_inputs, 512))
    assert joint_matmul.can_join(matrices)
    for joint, w in zip(joint_matmul.matmul_many(x, matrices), matrices, strict=True):
        assert mx.array_equal(joint, quantized.matmul(x, w))


def test_one_of_the_products_can_be_left_unused():
    matrices = [matrix("Q4_K", 48), matrix("Q4_K", 16)]
    x = mx.random.normal((3, 2, 512))
    _, second = joint_matmul.matmul_many(x, matrices)
    assert mx.array_equal(second, quantized.matmul(x, matrices[1]))


def test_matrices_of_other_widths_are_not_joined():
    narrow = quantized.load_blocks("F32", np.zeros((4, 128), np.uint8), 32)
    assert not joint_matmul.can_join([matrix("F32", 4), narrow])
    assert not joint_matmul.can_join([narrow])


def test_no_rows_at_all():
    matrices = [matrix("Q4_K", 48), matrix("F32", 5)]
    shapes = [y.shape for y in joint_matmul.matmul_many(mx.zeros((0, 512)), matrices)]
    assert shapes == [(0, 48), (0, 5)]

"""Linear and embedding layers over weights kept as their file stores them.

In training mode their product has a gradient for its input (never for the stored weight); in
evaluation it is the bare op.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import mlx.core as mx
import mlx.nn as nn

from metal_kernels import quantized
from metal_kernels.joint_matmul import matmul_many
from metal_kernels.quantized import QuantizedMatrix


class QuantizedLinear(nn.Module):
    """`x @ weight.T + bias`, the weight never expanded."""

    def __init__(self, weight: QuantizedMatrix, bias: mx.array | None = None) -> None:
        super().__init__()
        self.matrix = weight
        self._with_gradient = _product_with_gradient(weight)
        if bias is not None:
            self.bias = bias

    def __call__(self, x: mx.array) -> mx.array:
        y = self._with_gradient(x) if self.training else self._product(x)
        return y + self.bias if "bias" in self else y

    def _product(self, x: mx.array) -> mx.array:
        return quantized.matmul(x, self.matrix)

    @property
    def weight(self) -> mx.array:
        """The matrix expanded, float32, for the few families that reach for it."""
        return quantized.dequantize(self.matrix)


class JointProducts:
    """One input times several matrices: asked for the first, it computes all."""

    def __init__(self, matrices: list[QuantizedMatrix]) -> None:
        self._matrices = matrices
        self._input: mx.array | None = None
        self._products: dict[int, mx.array] = {}

    def take(self, index: int, x: mx.array) -> mx.array:
        """`x` times the matrix of this index."""
        if x is not self._input or index not in self._products:
            self._input = x
            self._products = dict(enumerate(matmul_many(x, self._matrices)))
        product = self._products.pop(index)
        if not self._products:
            self._input = None
        return product


class JointLinear(QuantizedLinear):
    """One of several layers that are applied to the same input."""

    def __init__(self, layer: QuantizedLinear, products: JointProducts, index: int) -> None:
        super().__init__(layer.matrix, layer.bias if "bias" in layer else None)
        self._products = products
        self._index = index

    def _product(self, x: mx.array) -> mx.array:
        return self._products.take(self._index, x)


class QuantizedEmbedding(nn.Module):
    """Rows of a stored table, and the same table as a tied output head."""

    def __init__(self, weight: QuantizedMatrix, dtype: mx.Dtype) -> None:
        super().__init__()
        self.matrix = weight
        self._dtype = dtype
        self._with_gradient = _product_with_gradient(weight)

    def __call__(self, ids: mx.array) -> mx.array:
        return quantized.take_rows(self.matrix, ids).astype(self._dtype)

    @property
    def weight(self) -> mx.array:
        """The table expanded, for the few families that reach for it."""
        return quantized.dequantize(self.matrix).astype(self._dtype)

    def as_linear(self, x: mx.array) -> mx.array:
        """Logits of hidden states `x` [..., W]."""
        return self._with_gradient(x) if self.training else quantized.matmul(x, self.matrix)


def _product_with_gradient(weight: QuantizedMatrix) -> Callable[[mx.array], mx.array]:
    product = mx.custom_function(partial(_multiply, weight))
    product.vjp(partial(_input_gradient, weight))
    return cast(Callable[[mx.array], mx.array], product)


def _multiply(weight: QuantizedMatrix, x: mx.array) -> mx.array:
    return quantized.matmul(x, weight)


def _input_gradient(
    weight: QuantizedMatrix, _primals: mx.array, cotangent: mx.array, _output: mx.array
) -> mx.array:
    rows = cotangent.reshape(-1, weight.num_rows)  # MLX multiplies a stack matrix by matrix
    gradient = rows @ quantized.dequantize(weight).astype(cotangent.dtype)
    return gradient.reshape(*cotangent.shape[:-1], weight.num_columns)

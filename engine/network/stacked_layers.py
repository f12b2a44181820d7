"""Layers over stacks of stored matrices: the experts of a layer, or one projection for each head.

They take the places of mlx-lm's SwitchLinear and MultiLinear. In training mode their product has a
gradient for its input, never for the stored weights.
"""

from collections.abc import Callable
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from metal_kernels import grouped
from metal_kernels.grouped import MatrixStack

STACKED_LAYERS = {"SwitchLinear", "MultiLinear"}
"""Classes of mlx-lm whose weight is [E, N, K]."""


class QuantizedSwitchLinear(nn.Module):
    """`x @ weight[index].T + bias[index]` for each row's own experts."""

    def __init__(self, weight: MatrixStack, bias: mx.array | None = None) -> None:
        super().__init__()
        self.stack = weight
        if bias is not None:
            self.bias = bias

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """x [..., M, K], whose leading axes go with those of `indices` as in `mx.gather_mm`; in
        most families x is [..., 1, 1, K], one row for the J experts of `indices` [..., J]."""
        del sorted_indices  # the product sorts rows itself
        if x.shape[-2] == 1 and x.shape[:-2] in (indices.shape, (*indices.shape[:-1], 1)):
            y = self.rows(x.reshape(-1, x.shape[-1]), indices.flatten())
            return y.reshape(*indices.shape, 1, y.shape[-1])
        shape = (*np.broadcast_shapes(x.shape[:-2], indices.shape), x.shape[-2])
        ids = mx.broadcast_to(indices[..., None], shape).flatten()
        rows = mx.broadcast_to(x, (*shape, x.shape[-1])).reshape(-1, x.shape[-1])
        y = self.rows(rows, ids)
        return y.reshape(*shape, y.shape[-1])

    def rows(self, x: mx.array, ids: mx.array) -> mx.array:
        """x [X, K] times the experts `ids` [R], R a multiple of X: [R, N]."""
        y = _product(self, self.stack, ids)(x)
        return y + self.bias[ids] if "bias" in self else y


class QuantizedMultiLinear(nn.Module):
    """A projection of its own for each head: x [B, H, L, K] to [B, H, L, N], or back.

    All heads share an x [B, 1, L, K].
    """

    def __init__(self, weight: MatrixStack) -> None:
        super().__init__()
        self.stack = weight

    def __call__(self, x: mx.array, transpose: bool = True) -> mx.array:
        num_heads = self.stack.num_matrices
        x = mx.broadcast_to(x, (x.shape[0], num_heads, *x.shape[2:]))
        heads = mx.broadcast_to(mx.arange(num_heads)[:, None], x.shape[:-1])
        ids, rows = heads.flatten(), x.reshape(-1, x.shape[-1])
        if transpose:
            y = _product(self, self.stack, ids)(rows)
        else:
            y = grouped.matmul_transposed(rows, self.stack, ids)
        return y.reshape(*x.shape[:-1], y.shape[-1])


def _product(layer: nn.Module, weight: MatrixStack, ids: mx.array) -> Callable[..., mx.array]:
    def multiply(x: mx.array) -> mx.array:
        return grouped.matmul(x, weight, ids)

    def input_gradient(x: mx.array, cotangent: mx.array, _output: mx.array) -> mx.array:
        rows = grouped.matmul_transposed(cotangent, weight, ids)
        return rows.reshape(x.shape[0], -1, x.shape[1]).sum(axis=1)

    if not layer.training:
        return multiply
    product = mx.custom_function(multiply)
    product.vjp(input_gradient)
    return cast(Callable[..., mx.array], product)


def is_stacked(layer: Any) -> bool:
    """Whether this layer of the zoo has a stack of matrices as its weight."""
    return type(layer).__name__ in STACKED_LAYERS

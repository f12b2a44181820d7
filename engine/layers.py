"""Linear and embedding layers over weights kept as their file stores them."""

import mlx.core as mx
import mlx.nn as nn

from metal_kernels import quantized
from metal_kernels.quantized import QuantizedMatrix


class QuantizedLinear(nn.Module):
    """`x @ weight.T + bias`, the weight never expanded."""

    def __init__(self, weight: QuantizedMatrix, bias: mx.array | None = None) -> None:
        super().__init__()
        self.matrix = weight
        if bias is not None:
            self.bias = bias

    def __call__(self, x: mx.array) -> mx.array:
        y = quantized.matmul(x, self.matrix)
        return y + self.bias if "bias" in self else y


class QuantizedEmbedding(nn.Module):
    """Rows of a stored table, and the same table as a tied output head."""

    def __init__(self, weight: QuantizedMatrix, dtype: mx.Dtype) -> None:
        super().__init__()
        self.matrix = weight
        self._dtype = dtype

    def __call__(self, ids: mx.array) -> mx.array:
        return quantized.take_rows(self.matrix, ids).astype(self._dtype)

    def as_linear(self, x: mx.array) -> mx.array:
        """Logits of hidden states `x` [..., W]."""
        return quantized.matmul(x, self.matrix)

"""OLMo (Groeneveld et al. 2024): a llama with norms without weights, and clipped q, k and v.

mlx-lm's own class is for the files of the first release, and needs a package.
"""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.network.attention import attention

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "rope")


class ClippedAttention(nn.Module):
    """Takes the place of a llama's attention, with its layers: `own` is mlx-lm's module."""

    def __init__(self, own: Any, limit: float) -> None:
        super().__init__()
        for name in _PROJECTIONS:
            self[name] = own[name]
        self.n_heads = own.n_heads
        self.n_kv_heads = own.n_kv_heads
        self.scale = own.scale
        self._limit = limit

    def __call__(
        self, x: mx.array, mask: mx.array | None = None, cache: Any | None = None
    ) -> mx.array:
        offset = 0 if cache is None else cache.offset
        queries = self.rope(self._heads(self.q_proj(x), self.n_heads), offset=offset)
        keys = self.rope(self._heads(self.k_proj(x), self.n_kv_heads), offset=offset)
        values = self._heads(self.v_proj(x), self.n_kv_heads)
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)
        out = attention(queries, keys, values, cache=cache, scale=self.scale, mask=mask)
        result: mx.array = self.o_proj(out.swapaxes(1, 2).reshape(*x.shape[:2], -1))
        return result

    def _heads(self, x: mx.array, num_heads: int) -> mx.array:
        clipped = mx.clip(x, -self._limit, self._limit)
        return clipped.reshape(*x.shape[:2], num_heads, -1).swapaxes(1, 2)


def use_plain_norms(network: Any, config: Mapping[str, Any]) -> None:
    """Make an OLMo of a llama."""
    width, epsilon = config["hidden_size"], float(config.get("layer_norm_eps", 1e-5))
    limit = config.get("clip_qkv")
    network.model.norm = nn.LayerNorm(width, epsilon, affine=False)
    for layer in network.layers:
        layer.input_layernorm = nn.LayerNorm(width, epsilon, affine=False)
        layer.post_attention_layernorm = nn.LayerNorm(width, epsilon, affine=False)
        if limit:
            layer.self_attn = ClippedAttention(layer.self_attn, float(limit))

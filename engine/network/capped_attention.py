"""Attention whose scores are bounded by a soft cap (Gemma Team 2024, Gemma 2 §2).

mlx-lm's own multiplies by hand, so that no cache of ours would be asked; and it sees no window.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.kv_cache import LayerCache

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "rope")


class CappedAttention(nn.Module):
    """Takes the place of Gemma 2's attention, with its layers: `own` is mlx-lm's module."""

    def __init__(self, own: Any, window: int | None) -> None:
        super().__init__()
        for name in _PROJECTIONS:
            self[name] = own[name]
        self.n_heads = own.n_heads
        self.n_kv_heads = own.n_kv_heads
        self.scale = own.scale
        self._soft_cap = own.attn_logit_softcapping
        self._window = window

    def __call__(
        self, x: mx.array, _mask: mx.array | None = None, cache: Any | None = None
    ) -> mx.array:
        batch, length, _ = x.shape
        offset = 0 if cache is None else cache.offset
        queries = self.rope(self._heads(self.q_proj(x), self.n_heads), offset=offset)
        keys = self.rope(self._heads(self.k_proj(x), self.n_kv_heads), offset=offset)
        values = self._heads(self.v_proj(x), self.n_kv_heads)
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)
        if isinstance(cache, LayerCache):
            out = cache.attend(queries, self.scale, soft_cap=self._soft_cap)
        else:
            out = self._attend(queries, keys, values)
        result: mx.array = self.o_proj(out.swapaxes(1, 2).reshape(batch, length, -1))
        return result

    @staticmethod
    def _heads(x: mx.array, num_heads: int) -> mx.array:
        return x.reshape(*x.shape[:2], num_heads, -1).swapaxes(1, 2)

    def _attend(self, queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
        """The definition, causal and within the window; the last query is at the last key."""
        batch, _, length, size = queries.shape
        grouped = queries.reshape(batch, self.n_kv_heads, -1, length, size) * self.scale
        scores = grouped @ keys[:, :, None].swapaxes(-1, -2)
        scores = mx.tanh(scores / self._soft_cap) * self._soft_cap
        distance = mx.arange(keys.shape[2] - length, keys.shape[2])[:, None]
        distance = distance - mx.arange(keys.shape[2])[None]
        seen = distance >= 0
        if self._window is not None:
            seen = seen & (distance < self._window)
        weights = mx.softmax(mx.where(seen, scores, -mx.inf), axis=-1, precise=True)
        return (weights @ values[:, :, None]).reshape(batch, self.n_heads, length, -1)


def use_capped_attention(network: Any, windows: list[int | None]) -> None:
    """Give every layer of a Gemma 2 its attention with a cap and a window."""
    for layer, window in zip(network.layers, windows, strict=True):
        layer.self_attn = CappedAttention(layer.self_attn, window)

"""Multi-head latent attention (DeepSeek-AI 2024, DeepSeek-V2 §2.1) over a cache of latents.

The expansion of the latent to keys is applied to the queries instead, that to values to the result:
all heads attend to one latent a token, kept with its turned part as the key and alone as the value.
"""

from collections.abc import Mapping
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn

from engine.network.attention import attention

_PROJECTIONS = ("q_proj", "q_a_proj", "q_a_layernorm", "q_b_proj")


class LatentAttention(nn.Module):
    """Takes the place of a family's own, with its layers: `own` is mlx-lm's module.

    `rope` turns the last part of queries and keys; `embed_q` [H, rank, nope] and `unembed_out`
    [H, value, rank] are the two halves of the expansion.
    """

    def __init__(
        self, own: Any, embed_q: nn.Module, unembed_out: nn.Module, rope: nn.Module
    ) -> None:
        super().__init__()
        for name in _PROJECTIONS:
            if name in own:
                self[name] = own[name]
        self.kv_a_proj_with_mqa = own.kv_a_proj_with_mqa
        self.kv_a_layernorm = own.kv_a_layernorm
        self.embed_q = embed_q
        self.unembed_out = unembed_out
        self.o_proj = own.o_proj
        self.rope = rope
        self.scale = own.scale
        self._num_heads = own.num_heads
        self._plain_size = own.qk_nope_head_dim
        self._rank = own.kv_lora_rank

    def __call__(
        self, x: mx.array, mask: mx.array | str | None = None, cache: Any | None = None
    ) -> mx.array:
        batch, length, _ = x.shape
        offset = 0 if cache is None else cache.offset
        q = self._queries(x).reshape(batch, length, self._num_heads, -1).swapaxes(1, 2)
        q_plain, q_turned = mx.split(q, [self._plain_size], axis=-1)
        latent, k_turned = mx.split(self.kv_a_proj_with_mqa(x), [self._rank], axis=-1)
        values = self.kv_a_layernorm(latent)[:, None]
        turned = self.rope(k_turned[:, None], offset)
        keys = mx.concatenate([values, turned], axis=-1)
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)
        queries = mx.concatenate([self.embed_q(q_plain), self.rope(q_turned, offset)], axis=-1)
        out = self.unembed_out(attention(queries, keys, values, cache, self.scale, mask))
        result: mx.array = self.o_proj(out.swapaxes(1, 2).reshape(batch, length, -1))
        return result

    def _queries(self, x: mx.array) -> mx.array:
        if "q_proj" in self:
            return cast(mx.array, self.q_proj(x))
        return cast(mx.array, self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))))


def use_latent_attention(network: nn.Module, config: Mapping[str, Any], zoo: Any) -> None:
    """Swap the attention of DeepSeek's families for the form their weights are stored in.

    `zoo` gives a module of mlx-lm's models by name. The config's `latent_cache`, where it has one,
    says whether a file's expansion is split by heads; without it, families keep what they have.
    """
    for layer in network.layers:
        own = layer.self_attn
        is_split = "embed_q" in own
        if config.get("latent_cache", is_split) == is_split:
            if is_split:
                layer.self_attn = LatentAttention(own, own.embed_q, own.unembed_out, own.rope)
        elif is_split:
            layer.self_attn = zoo("deepseek_v2").DeepseekV2Attention(own.config)
        else:
            layer.self_attn = _split(own, config, zoo)


def _split(own: Any, config: Mapping[str, Any], zoo: Any) -> LatentAttention:
    multi_linear = zoo("mla").MultiLinear
    rank, num_heads = own.kv_lora_rank, own.num_heads
    rope = zoo("rope_utils").initialize_rope(
        own.qk_rope_head_dim,
        own.rope_theta,
        True,
        config.get("rope_scaling"),
        own.max_position_embeddings,
    )
    embed_q = multi_linear(own.qk_nope_head_dim, rank, num_heads)
    return LatentAttention(own, embed_q, multi_linear(rank, own.v_head_dim, num_heads), rope)

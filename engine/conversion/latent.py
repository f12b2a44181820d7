"""DeepSeek V2's expansion of the latent: one matrix in its directories, two stacks in GGUF.

Source: llama.cpp, conversion/deepseek.py (`kv_b_proj`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mlx.core as mx

from engine.conversion.parameters import Parameter

_WHOLE = ".kv_b_proj.weight"


def split_latent(parameters: Sequence[Parameter], config: Mapping[str, Any]) -> list[Parameter]:
    """The same with each such matrix, [heads * (keys + values), latent], in its two stacks."""
    found: list[Parameter] = []
    for parameter in parameters:
        if not parameter.path.endswith(_WHOLE):
            found.append(parameter)
            continue
        before = parameter.path.removesuffix(_WHOLE)
        expansion = _Expansion(parameter, config)
        heads, latent = expansion.num_heads, parameter.shape[-1]
        keys, values = (heads, latent, expansion.num_keys), (heads, expansion.num_values, latent)
        stored = parameter.stored
        found.append(Parameter(f"{before}.embed_q.weight", keys, stored, expansion.keys))
        found.append(Parameter(f"{before}.unembed_out.weight", values, stored, expansion.values))
    return found


class _Expansion:
    """The matrix, read once for both; each part is forgotten when it is handed out."""

    def __init__(self, parameter: Parameter, config: Mapping[str, Any]) -> None:
        self.num_heads = int(config["num_attention_heads"])
        self.num_keys = int(config["qk_nope_head_dim"])
        self.num_values = int(config["v_head_dim"])
        self._parameter = parameter
        self._parts: dict[str, mx.array] = {}

    def keys(self) -> Iterator[mx.array]:
        """For each head what turns a query's part into one over the latent, [latent, keys]."""
        yield self._take("keys").swapaxes(1, 2).reshape(-1, self.num_keys)

    def values(self) -> Iterator[mx.array]:
        """For each head what makes values of the latent, [values, latent]."""
        yield self._take("values").reshape(-1, self._parameter.shape[-1])

    def _take(self, part: str) -> mx.array:
        if not self._parts:
            whole = mx.concatenate(list(self._parameter.read()))
            heads = whole.reshape(self.num_heads, self.num_keys + self.num_values, -1)
            self._parts["keys"], self._parts["values"] = mx.split(heads, [self.num_keys], axis=1)
        return self._parts.pop(part)

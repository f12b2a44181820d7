"""Results of value heads in the order that a file's output matrix has its columns in."""

from typing import Any

import mlx.core as mx


def tile_value_heads(network: Any) -> None:
    """Let each gated delta layer hand its heads on as (value of a key, key).

    The norm before the output projection is the last to see heads apart.
    """
    for layer in network.layers:
        if layer.is_linear:
            norm = layer.linear_attn.norm
            norm.__class__ = _tiled(type(norm), layer.linear_attn.num_k_heads)


def _tiled(own_class: Any, num_keys: int) -> Any:
    class Tiled(own_class):  # type: ignore[misc]
        def __call__(self, x: mx.array, gate: mx.array | None = None) -> mx.array:
            heads: mx.array = super().__call__(x, gate)
            apart = heads.reshape(*heads.shape[:-2], num_keys, -1, heads.shape[-1])
            return apart.swapaxes(-3, -2).reshape(heads.shape)

    Tiled.__module__ = own_class.__module__
    return Tiled

"""Sliding windows that a configuration asks for and mlx-lm's class of the family ignores."""

from collections.abc import Callable, Mapping
from typing import Any

import mlx.nn as nn

WINDOWED_FAMILIES = {
    "mistral": lambda _layer, _config: True,
    "mixtral": lambda _layer, _config: True,
    "phi3": lambda _layer, _config: True,
    "starcoder2": lambda _layer, _config: True,
    "gemma2": lambda layer, _config: layer % 2 == 0,
    "plamo3": lambda layer, config: (layer + 1) % config.get("sliding_window_pattern", 8) != 0,
    "qwen2": lambda layer, config: _is_late(layer, config),
    "qwen2_moe": lambda layer, config: _is_late(layer, config),
    "qwen3": lambda layer, config: _is_late(layer, config),
    "qwen3_moe": lambda _layer, config: bool(config.get("use_sliding_window")),
}
"""By model type: whether a layer has the window, where the config does not list it."""


def _is_late(layer: int, config: Mapping[str, Any]) -> bool:
    """Of the Qwen families: from a certain layer on, if at all."""
    return bool(config.get("use_sliding_window")) and layer >= config.get("max_window_layers", 28)


def ignored_windows(config: Mapping[str, Any]) -> list[int | None] | None:
    """The window of each layer in tokens; None where the family's own class sees to it."""
    has_window = WINDOWED_FAMILIES.get(config["model_type"])
    window = config.get("sliding_window", config.get("window_size"))
    if has_window is None or not window:
        return None
    if config["model_type"] == "plamo3":
        window += 1  # its caches leave out a token that its masks show
    layers = range(int(config["num_hidden_layers"]))
    kinds = config.get("layer_types")
    if kinds:
        return [int(window) if kinds[i] == "sliding_attention" else None for i in layers]
    return [int(window) if has_window(i, config) else None for i in layers]


def add_windows(network: nn.Module, windows: list[int | None], zoo: Callable[[str], Any]) -> None:
    """Let `make_cache` tell of the windows; `zoo` gives a module of mlx-lm by its name."""
    caches = zoo("cache")
    own_class: Any = type(network)

    class Windowed(own_class):  # type: ignore[misc]
        def make_cache(self) -> list[Any]:
            return [
                caches.RotatingKVCache(max_size=window) if window else caches.KVCache()
                for window in windows
            ]

    Windowed.__module__ = own_class.__module__
    network.__class__ = Windowed

"""YaRN (Peng et al. 2023) with the ends of its ramp as they are, not rounded to whole pairs.

mlx-lm always rounds. gpt-oss was trained without; its config says `"truncate": false`.
"""

import math
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn


def unround_ramps(network: nn.Module, config: Mapping[str, Any]) -> None:
    """Give every YarnRoPE of the network the frequencies that the config asks for."""
    scaling = config.get("rope_scaling") or {}
    if scaling.get("truncate", True):
        return
    for module in network.modules():
        if type(module).__name__ == "YarnRoPE":
            module._freqs = _periods(module.dims, float(config["rope_theta"]), scaling)


def _periods(dims: int, base: float, scaling: Mapping[str, Any]) -> mx.array:
    """1 / frequency of each pair, float32 [dims / 2]."""
    original = scaling.get("original_max_position_embeddings", 4096)

    def pair_that_turns(times: float) -> float:
        return dims * math.log(original / (times * 2 * math.pi)) / (2 * math.log(base))

    low = max(pair_that_turns(scaling.get("beta_fast", 32)), 0)
    high = min(pair_that_turns(scaling.get("beta_slow", 1)), dims - 1)
    pairs = mx.arange(0, dims // 2, dtype=mx.float32)
    stretched = mx.clip((pairs - low) / max(high - low, 0.001), 0, 1)
    frequencies = mx.power(base, -2 * pairs / dims)
    periods: mx.array = 1 / (frequencies * (1 - stretched + stretched / scaling["factor"]))
    return periods

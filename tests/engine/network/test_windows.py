"""Windows and caps that mlx-lm's classes ignore, against their definitions."""

import mlx.core as mx
import numpy as np
import pytest
from tiny import CONFIG, random_prompts

from engine.kv_cache import layer_windows
from engine.network.capped_attention import CappedAttention
from engine.network.long_rope import fit_rope_to_context
from engine.network.zoo import build_network

GEMMA2 = CONFIG | {
    "model_type": "gemma2",
    "head_dim": 16,
    "sliding_window": 5,
    "attn_logit_softcapping": 2.0,
    "query_pre_attn_scalar": 16,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": "mistral", "sliding_window": 9}, [9, 9, 9]),
        ({"model_type": "mistral", "sliding_window": None}, [None] * 3),
        (GEMMA2, [5, None, 5]),
        (
            {
                "model_type": "qwen2",
                "sliding_window": 9,
                "use_sliding_window": True,
                "max_window_layers": 2,
            },
            [None, None, 9],
        ),
        (
            {"model_type": "qwen2", "sliding_window": 9, "use_sliding_window": False},
            [None] * 3,
        ),
        (
            {
                "model_type": "mistral",
                "sliding_window": 7,
                "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            },
            [None, 7, None],
        ),
    ],
)
def test_windows_follow_the_configuration(
    changes: dict[str, object], expected: list[int | None]
) -> None:
    assert layer_windows(build_network(CONFIG | changes)) == expected


def test_capped_attention_in_parts_is_that_of_the_whole() -> None:
    """With mlx-lm's own caches, as training and other callers use it."""
    network = build_network(GEMMA2)
    assert isinstance(network.layers[0].self_attn, CappedAttention)
    (prompt,) = random_prompts(1, 40, seed=2)
    ids = mx.array([(*prompt, 3, 4, 5, 6, 7, 8, 9, 10)])
    whole = network(ids)
    caches = network.make_cache()
    parts = [network(ids[:, i : i + 1], cache=caches) for i in range(ids.shape[1])]
    assert np.allclose(np.array(whole), np.array(mx.concatenate(parts, axis=1)), atol=1e-4)


def test_short_contexts_turn_with_the_short_factors() -> None:
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
    config = CONFIG | {
        "model_type": "phi3",
        "original_max_position_embeddings": 64,
        "rope_scaling": {"type": "longrope", "rope_type": "longrope", **factors},
    }
    network = build_network(config)
    long = np.array(network.layers[0].self_attn.rope._freqs)
    fit_rope_to_context(network, config, 65)
    assert np.array_equal(np.array(network.layers[0].self_attn.rope._freqs), long)
    fit_rope_to_context(network, config, 64)
    assert np.allclose(np.array(network.layers[0].self_attn.rope._freqs) * 4, long, rtol=1e-5)

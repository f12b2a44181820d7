"""Memory holds weights first, then a context as long as was trained for."""

from typing import Any

import numpy as np
import pytest

from models.fit import Fit, cache_token_bytes, fit_context, rate_fit, weight_budget_bytes

GB = 1 << 30
LLAMA_8B: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.embedding_length": 4096,
    "llama.context_length": 131_072,
}


@pytest.mark.parametrize(
    ("size_gb", "expected"), [(4, "fits"), (8, "fits"), (11, "tight"), (13, "too large")]
)
def test_weights_fit_are_tight_or_too_large(size_gb: int, expected: Fit) -> None:
    assert rate_fit(size_gb * GB, 16 * GB) == expected


def test_a_tiny_machine_has_no_budget() -> None:
    assert weight_budget_bytes(1 << 20) == 0


def test_the_cache_of_a_token_follows_from_the_heads() -> None:
    assert cache_token_bytes(LLAMA_8B) == 32 * 8 * (128 + 128) * 2 == 131_072
    wider = LLAMA_8B | {"llama.attention.key_length": 192, "llama.attention.value_length": 128}
    assert cache_token_bytes(wider) == 32 * 8 * 320 * 2
    mixed = LLAMA_8B | {"llama.attention.head_count_kv": np.array([8, 0, 4], np.int32)}
    assert cache_token_bytes(mixed) == 12 * 256 * 2
    assert cache_token_bytes({"general.architecture": "odd"}) == 0


def test_the_context_is_what_memory_leaves_and_never_more_than_trained() -> None:
    small = fit_context(5 * GB, LLAMA_8B, 16 * GB)
    assert small.comfortable_tokens == (int(16 * GB * 0.6) - 5 * GB - (256 << 20)) // 131_072
    assert fit_context(5 * GB, LLAMA_8B, 512 * GB).comfortable_tokens == 131_072
    none = fit_context(40 * GB, LLAMA_8B, 16 * GB)
    assert (none.comfortable_tokens, none.fit) == (0, "too large")

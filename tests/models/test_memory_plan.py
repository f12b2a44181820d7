"""What is given up where memory is short, in its order, until nothing helps."""

from typing import Any

import pytest

from metal_kernels.metal.kv_rows import int8_row_bytes
from models.errors import Busy, InvalidInput
from models.memory_plan import (
    PROCESS_BYTES,
    STEP_TOKENS,
    MemoryNeeds,
    MemoryPlan,
    expected_tokens_s,
    make_needs,
    parse_kv_type,
    plan_memory,
)

GB = 1 << 30
NEEDS: dict[str, Any] = {
    "weight_bytes": 4 * GB, "token_bytes": 1 << 17, "small_token_bytes": 1 << 16,
    "row_bytes": 1 << 20, "context_tokens": 8192, "is_context_asked": True,
}  # fmt: skip


def plan(budget_bytes: int, **changes: Any) -> MemoryPlan:
    return plan_memory(MemoryNeeds(**(NEEDS | changes)), int(budget_bytes / 0.6) + 1)


def needed(step_tokens: int, token_bytes: int = 1 << 17, context_tokens: int = 8192) -> int:
    return 4 * GB + PROCESS_BYTES + (step_tokens << 20) + context_tokens * token_bytes


def test_where_memory_is_plenty_several_contexts_fit() -> None:
    found = plan(100 * GB)
    assert (found.step_tokens, found.cache_tokens, found.given_up) == (512, 4 * 8192, ())
    assert found.total_bytes <= found.budget_bytes


def test_one_context_comes_before_a_second_and_needs_no_sacrifice() -> None:
    found = plan(needed(512))
    assert (found.step_tokens, found.cache_tokens, found.given_up) == (512, 8192, ())


@pytest.mark.parametrize("step_tokens", STEP_TOKENS[1:])
def test_first_steps_become_smaller(step_tokens: int) -> None:
    found = plan(needed(step_tokens))
    assert (found.step_tokens, found.context_tokens) == (step_tokens, 8192)
    assert found.given_up == (f"steps of {step_tokens} tokens",)


def test_then_the_context_unless_it_was_asked_for() -> None:
    budget = needed(64, context_tokens=4096)
    found = plan(budget, is_context_asked=False)
    assert (found.step_tokens, found.context_tokens, found.kv_type) == (64, 4096, "f16")
    assert found.given_up == ("steps of 64 tokens", "a context of 4,096 tokens")


def test_then_keys_and_values_have_eight_bits() -> None:
    found = plan(needed(512, token_bytes=1 << 16))
    assert (found.kv_type, found.step_tokens, found.context_tokens) == ("q8_0", 512, 8192)
    assert found.given_up == ("8 bits for keys and values",)


def test_an_asked_type_is_kept_to() -> None:
    budget = needed(512, token_bytes=1 << 16)
    with pytest.raises(Busy, match=r"1\.07 GB for a context of 8,192"):
        plan(budget, kv_type="f16")
    found = plan(100 * GB, kv_type="q8_0")
    assert (found.kv_type, found.given_up) == ("q8_0", ())
    assert found.cache_bytes == 4 * 8192 << 16
    assert plan(100 * GB, kv_type="q8_0", small_token_bytes=0).kv_type == "f16"


@pytest.mark.parametrize(("text", "expected"), [("F16", "f16"), ("q8_0", "q8_0"), ("auto", None)])
def test_types_have_ollamas_names(text: str, expected: str | None) -> None:
    assert parse_kv_type(text) == expected


def test_an_unknown_type_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InvalidInput, match="'q4_0'") as caught:
        parse_kv_type("q4_0")
    assert "q8_0" in caught.value.hint


def test_then_it_is_refused_with_the_numbers() -> None:
    with pytest.raises(Busy, match=r"4\.29 GB of weights, 0\.54 GB for a context of 8,192"):
        plan(needed(64, token_bytes=1 << 16) - (1 << 20))
    with pytest.raises(Busy, match=r"1,024 tokens"):
        plan(4 * GB, is_context_asked=False)


@pytest.mark.parametrize("budget_gb", [4.5, 5, 5.3, 6, 9, 40])
def test_no_plan_goes_over_its_budget(budget_gb: float) -> None:
    try:
        found = plan(int(budget_gb * GB), is_context_asked=False)
    except Busy:
        return
    assert found.total_bytes <= found.budget_bytes
    assert found.context_tokens <= found.cache_tokens


def test_the_needs_follow_from_the_header() -> None:
    header = {
        "general.architecture": "llama", "llama.block_count": 16, "llama.vocab_size": 128_256,
        "llama.attention.head_count": 32, "llama.attention.head_count_kv": 8,
        "llama.embedding_length": 2048, "llama.feed_forward_length": 8192,
        "llama.context_length": 4096,
    }  # fmt: skip
    needs = make_needs(GB, header, value_bytes=4)
    assert needs.token_bytes == 16 * 8 * 128 * 2
    assert needs.small_token_bytes == 16 * 8 * int8_row_bytes(64, 64)
    odd = header | {"llama.attention.key_length": 72, "llama.attention.value_length": 72}
    assert make_needs(GB, odd).small_token_bytes == 0
    assert 321_434 < needs.row_bytes < 1.15 * 321_434, "as measured"
    assert (needs.context_tokens, needs.is_context_asked) == (4096, False)
    assert make_needs(GB, header, context_tokens=100).is_context_asked


def test_speed_is_bandwidth_over_bytes() -> None:
    assert expected_tokens_s(4_000_000_000, 100_000, 10_000, 273e9) == pytest.approx(54.6)

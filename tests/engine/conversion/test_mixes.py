"""Which format each tensor gets, against what llama.cpp chose for the same models."""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from engine.conversion.mixes import BASE_TYPES, DENSE, Facts, choose_types
from engine.conversion.types import Affine, parse_type
from models.errors import InvalidInput
from models.formats.gguf import TensorInfo

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "llama_cpp_mixes.json").read_text()
)


def tensors_of(case: dict[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, kind, tuple(shape), 2 * prod(shape))
        for name, (kind, *shape) in case["tensors"].items()
    }


@pytest.mark.parametrize("mix", [mix for mix in BASE_TYPES if mix not in DENSE])
@pytest.mark.parametrize("shape", GOLDEN)
def test_the_formats_are_llama_cpp_s(shape: str, mix: str) -> None:
    case = GOLDEN[shape]
    facts = Facts("llama", case["layers"], case["heads"], case["kv_heads"])
    chosen = choose_types(mix, tensors_of(case), facts)
    assert list(chosen.values()) == case["mixes"][mix]


def test_norms_routers_and_biases_stay_as_they_are() -> None:
    names = ("blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.attn_q.bias")
    tensors = {name: TensorInfo(name, "F32", (256, 256), 0) for name in names}
    chosen = choose_types("Q4_K_M", tensors, Facts("llama", 1, 4, 4, num_experts=4))
    assert set(chosen.values()) == {"F32"}


def test_experts_are_chosen_by_their_layer_whatever_the_order_of_the_file() -> None:
    names = [f"blk.{layer}.ffn_down_exps.weight" for layer in (7, 0, 3, 1)]
    tensors = {name: TensorInfo(name, "F16", (4, 256, 256), 0) for name in names}
    chosen = choose_types("Q4_K_M", tensors, Facts("qwen3moe", 8, 4, 4, num_experts=4))
    assert list(chosen.values()) == ["Q6_K", "Q6_K", "Q6_K", "Q4_K"]


def test_with_importance_the_first_layers_of_q4_0_get_an_offset() -> None:
    names = [f"blk.{layer}.ffn_down.weight" for layer in range(16)]
    tensors = {name: TensorInfo(name, "F16", (256, 256), 0) for name in names}
    facts = Facts("llama", 16, 4, 4)
    assert set(choose_types("Q4_0", tensors, facts).values()) == {"Q4_0"}
    chosen = list(choose_types("Q4_0", tensors, facts, has_importance=True).values())
    assert chosen == ["Q4_1"] * 2 + ["Q4_0"] * 14


def test_types_are_named_in_any_case_and_the_nearest_is_offered() -> None:
    assert parse_type("q4_k_m") == parse_type("Q4_K") == "Q4_K_M"
    assert parse_type("MLX-8bit") == Affine(8, 64)
    assert parse_type("mlx-4bit-g32").label == "mlx-4bit-g32"  # type: ignore[union-attr]
    with pytest.raises(InvalidInput) as caught:
        parse_type("Q4KM")
    assert caught.value.hint is not None
    assert "Did you mean Q4_K_M?" in caught.value.hint
    with pytest.raises(InvalidInput, match="bits must be one of"):
        parse_type("mlx-7bit")

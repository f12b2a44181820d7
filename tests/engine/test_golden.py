"""The engine against llama.cpp's recorded answers on models made from the same recipes."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.loading import EngineOptions, load_model
from engine.request import Request, SamplingParams
from models.resolve import resolve_path
from scripts.golden_models import RECIPES, Recipe, write_golden_model

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "llama_cpp.json").read_text()
)
MAX_ERROR = {"F16": 0.02, "Q8_0": 0.25}
"""llama.cpp rounds activations to eight bits there; test_quantized_golden.py compares without."""


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_greedy_tokens_and_log_probabilities_equal_llama_cpp(
    recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    write_golden_model(path, recipe)
    engine = load_model(resolve_path(path), EngineOptions(max_context_tokens=256)).engine
    cases = GOLDEN[recipe.name]["cases"]
    for index, case in enumerate(cases):
        sampling = SamplingParams(
            temperature=0, max_tokens=len(case["tokens"]), num_logprobs=0, repeat_penalty=1.0
        )
        engine.add_request(Request(str(index), tuple(case["prompt"]), sampling))
    tokens: dict[str, list[int]] = {}
    logprobs: dict[str, list[float]] = {}
    while engine.has_unfinished:
        for output in engine.step():
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
            found = [chosen.logprob for chosen in output.logprobs]
            logprobs.setdefault(output.request_id, []).extend(found)
    for index, case in enumerate(cases):
        assert tokens[str(index)] == case["tokens"]
        assert logprobs[str(index)] == pytest.approx(
            case["logprobs"], abs=MAX_ERROR[recipe.quantization]
        )

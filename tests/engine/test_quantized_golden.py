"""Quantized files against llama.cpp, over the files and over the same weights kept as F32."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.loading import EngineOptions, load_model
from engine.request import Request, SamplingParams
from models.resolve import resolve_path
from scripts.golden_models import QUANTIZED, Recipe, write_golden_model

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "quantized.json").read_text()
)


@pytest.mark.parametrize("recipe", QUANTIZED, ids=lambda recipe: recipe.name)
def test_what_the_weights_mean_is_computed(recipe: Recipe, tmp_path: Path) -> None:
    """Far nearer to llama.cpp over F32 than llama.cpp over the file itself is."""
    path = tmp_path / "model.gguf"
    write_golden_model(path, recipe)
    engine = load_model(resolve_path(path), EngineOptions(max_context_tokens=200)).engine
    golden = GOLDEN["models"][recipe.name]
    sampling = SamplingParams(temperature=0, max_tokens=1, num_logprobs=20, ignore_eos=True)
    found = []
    for place, best in zip(GOLDEN["places"], golden["best"], strict=True):
        engine.add_request(Request("a", tuple(GOLDEN["tokens"][: place + 1]), sampling))
        logprobs: dict[int, float] = {}
        while engine.has_unfinished:
            for output in engine.step():
                logprobs |= dict(pair for each in output.logprobs for pair in each.alternatives)
        found.append([logprobs.get(token, np.nan) for token in best])
    exact, rounded = np.array(golden["exact"]), np.array(golden["rounded"])
    ours = np.array(found)
    assert np.isfinite(ours).mean() > 0.9, "nearly the same twenty tokens are best"
    assert np.nanmax(np.abs(ours - exact)) < 0.02
    assert np.nanmax(np.abs(ours - rounded)) < np.abs(rounded - exact).max() + 0.02

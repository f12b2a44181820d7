"""Each architecture's tiny model, converted by llama.cpp, against what transformers computed."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.loading import EngineOptions, load_model
from engine.request import Request, SamplingParams
from models.resolve import resolve_path

FOLDER = Path(__file__).parents[2] / "golden" / "architectures"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "log_probabilities.json").read_text())
PLACES = (0, 7, 20, 39)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_log_probabilities_are_those_of_transformers(name: str) -> None:
    """Prompts are longer than the sliding windows and come in several chunks."""
    options = EngineOptions(max_context_tokens=120, max_step_tokens=16)
    engine = load_model(resolve_path(FOLDER / f"{name}.gguf"), options).engine
    sampling = SamplingParams(temperature=0, max_tokens=1, num_logprobs=20, ignore_eos=True)
    tokens = GOLDEN[name]["tokens"]
    for place, expected in zip(PLACES, GOLDEN[name]["logprobs"], strict=True):
        engine.add_request(Request(str(place), tuple(tokens[: place + 1]), sampling))
        found: list[tuple[int, float]] = []
        while engine.has_unfinished:
            for output in engine.step():
                found += [pair for chosen in output.logprobs for pair in chosen.alternatives]
        assert len(found) == 20
        assert max(abs(logprob - expected[token]) for token, logprob in found) < 0.02

"""Records what llama.cpp computes over quantized files, and over the same weights kept as F32.

    PATH_TO/python scripts/make_quantized_golden.py

It rounds activations to eight bits where weights are quantized; other engines need not, so only the
second says what the weights mean. Needs what make_golden.py needs; writes
tests/golden/quantized.json and prints how far apart the two are.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.golden_models import QUANTIZED, VOCAB, Recipe, write_golden_model  # noqa: E402

TOKENS = np.random.default_rng(3).integers(0, VOCAB - 4, 60).tolist()
PLACES, NUM_BEST = (0, 20, 40, 59), 20


def llama_cpp_logprobs(path: Path) -> np.ndarray:
    """[places, V]"""
    from llama_cpp import Llama  # type: ignore[import-not-found, unused-ignore]

    model = Llama(str(path), n_ctx=256, n_threads=2, logits_all=True, verbose=False)
    model.eval(TOKENS)
    rows = np.array(model.scores, np.float64)[list(PLACES)]
    rows -= rows.max(-1, keepdims=True)
    result: np.ndarray = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    return result


def record(recipe: Recipe, folder: Path) -> dict[str, object]:
    """The best tokens of each place, with both log-probabilities."""
    path = folder / "model.gguf"
    write_golden_model(path, replace(recipe, dequantized=True))
    exact = llama_cpp_logprobs(path)
    write_golden_model(path, recipe)
    rounded = llama_cpp_logprobs(path)
    best = np.argsort(-exact, axis=1)[:, :NUM_BEST]

    def of_best(rows: np.ndarray) -> list[list[float]]:
        values: list[list[float]] = np.take_along_axis(rows, best, 1).round(4).tolist()
        return values

    gap = np.abs(np.take_along_axis(exact - rounded, best, 1)).max()
    print(f"{recipe.name}: llama.cpp is {gap:.3f} from its result over F32")
    return {"best": best.tolist(), "exact": of_best(exact), "rounded": of_best(rounded)}


def main() -> None:
    """Make every model, ask llama.cpp twice and write the answers."""
    with tempfile.TemporaryDirectory() as folder:
        golden = {recipe.name: record(recipe, Path(folder)) for recipe in QUANTIZED}
    target = ROOT / "tests" / "golden" / "quantized.json"
    found = {"tokens": TOKENS, "places": PLACES, "models": golden}
    target.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

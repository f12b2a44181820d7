"""Records what llama.cpp computes for the golden models: greedy tokens and log-probabilities.

    PATH_TO/python scripts/make_golden.py

Needs llama-cpp-python (built with clang: GCC 12 miscompiles its AMX part), numpy and gguf; writes
tests/golden/llama_cpp.json. A test makes the same models and compares.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.golden_models import RECIPES, VOCAB, write_golden_model  # noqa: E402

NUM_PROMPTS, PROMPT_TOKENS, OUTPUT_TOKENS, MIN_DIFFERENT = 3, 48, 16, 8
MIN_MARGIN = {"F16": 0.05, "Q8_0": 0.2}
"""Q8_0 more: llama.cpp rounds activations to eight bits there, and other engines need not."""
TRIES = 20_000


def record(path: Path, min_margin: float) -> dict[str, Any]:
    """Some prompts, each with its greedy continuation and the log-probability of each token.

    Only continuations whose every choice is clear are kept, so that another engine's rounding
    cannot lead it elsewhere.
    """
    from llama_cpp import Llama  # type: ignore[import-not-found, unused-ignore]

    model = Llama(str(path), n_ctx=256, n_threads=2, logits_all=True, verbose=False)
    bits = np.random.PCG64(7)
    cases: list[dict[str, Any]] = []
    for _ in range(TRIES):
        prompt = [int(raw % (VOCAB - 4)) for raw in bits.random_raw(PROMPT_TOKENS)]
        case = _continue(model, prompt, min_margin)
        if case is not None:
            cases.append(case)
        if len(cases) == NUM_PROMPTS:
            return {"cases": cases}
    sys.exit(f"error: {path.name}: only {len(cases)} clear continuations in {TRIES} tries")


def _continue(model: Any, prompt: list[int], min_margin: float) -> dict[str, Any] | None:
    model.reset()
    model.eval(prompt)
    prompt_logprobs = [
        round(float(_log_softmax(model.scores[place])[prompt[place + 1]]), 4)
        for place in range(len(prompt) - 1)
    ]
    tokens: list[int] = []
    logprobs: list[float] = []
    for _ in range(OUTPUT_TOKENS):
        row = _log_softmax(model.scores[model.n_tokens - 1])
        second, first = np.sort(row)[-2:]
        token = int(row.argmax())
        if first - second < min_margin or token >= VOCAB - 4:
            return None
        tokens.append(token)
        logprobs.append(round(float(first), 4))
        model.eval([token])
    if len(set(tokens)) < MIN_DIFFERENT:
        return None
    return {
        "prompt": prompt,
        "prompt_logprobs": prompt_logprobs,
        "tokens": tokens,
        "logprobs": logprobs,
    }


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum())
    return result


def main() -> None:
    """Make every model, ask llama.cpp and write the answers."""
    golden = {}
    with tempfile.TemporaryDirectory() as folder:
        for recipe in RECIPES:
            path = Path(folder) / f"{recipe.name}.gguf"
            write_golden_model(path, recipe)
            golden[recipe.name] = record(path, MIN_MARGIN[recipe.quantization])
            print(recipe.name)
    target = ROOT / "tests" / "golden" / "llama_cpp.json"
    target.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

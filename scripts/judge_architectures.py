"""Each architecture's tiny random model by us, by transformers and by llama.cpp, side by side.

    scripts/judge_architectures.py --llama-python PATH --llama-cpp FOLDER [--only NAME ...]

Prints the largest difference of a log-probability, over the 20 likeliest tokens at several places
of a prompt longer than the sliding windows, with cached prefixes: ours from transformers (F32
file), from llama.cpp (F16, Q8_0, Q4_K_M) and from our own dequantized reference (the largest of
all files); then llama.cpp's from the dequantized reference. Random networks send tokens near a tie
to other experts for a rounding: llama.cpp rounds activations to eight bits under quantized weights.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

KINDS = ("F32", "F16", "Q8_0", "Q4_K_M")
PLACES = (0, 7, 20, 39, 71)
COLUMNS = ("transformers", "F16", "Q8_0", "Q4_K_M", "reference")
THEIRS = ("llama F16", "llama Q8_0", "llama Q4_K_M")

Found = dict[str, list[list[tuple[int, float]]]]
"""For each kind of file and place: likely tokens and their log-probabilities."""


def ask_engine(folder: Path) -> Found:
    """What this process's kernels make of every file."""
    from engine.loading import EngineOptions, load_model
    from engine.request import Request, SamplingParams
    from models.resolve import resolve_path

    tokens = np.load(folder / "expected.npz")["tokens"].tolist()
    sampling = SamplingParams(temperature=0, max_tokens=1, num_logprobs=20, ignore_eos=True)
    found: Found = {}
    for kind in (kind for kind in KINDS if (folder / f"{kind}.gguf").exists()):
        options = EngineOptions(max_context_tokens=120, max_step_tokens=16)
        engine = load_model(resolve_path(folder / f"{kind}.gguf"), options).engine
        found[kind] = []
        for place in PLACES:  # each prompt finds the one before it in the prefix cache
            engine.add_request(Request(str(place), tuple(tokens[: place + 1]), sampling))
            pairs: list[tuple[int, float]] = []
            while engine.has_unfinished:
                for output in engine.step():
                    pairs += [pair for chosen in output.logprobs for pair in chosen.alternatives]
            found[kind].append(pairs)
    return found


def distance(found: list[list[tuple[int, float]]], expected: np.ndarray) -> float:
    """The largest difference; `expected` [T, V]."""
    return max(
        abs(logprob - float(expected[place][token]))
        for place, pairs in zip(PLACES, found, strict=True)
        for token, logprob in pairs
    )


def between(ours: Found, reference: Found) -> float:
    """The largest difference of tokens that both found likely."""
    worst = 0.0
    for kind in ours:
        for mine, other in zip(ours[kind], reference[kind], strict=True):
            known = dict(other)
            both = [(token, logprob) for token, logprob in mine if token in known]
            worst = max([worst, *(abs(logprob - known[token]) for token, logprob in both)])
    return worst


def judge(name: str, asked: argparse.Namespace) -> dict[str, float]:
    """The distances of one architecture, by column."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        make = [asked.llama_python, ROOT / "scripts" / "peers" / "judged_models.py", name]
        _run([*make, "--llama-cpp", asked.llama_cpp, "--output", folder])
        ours, reference = (_ask_process(folder, backend) for backend in ("", "reference"))
        expected = dict(np.load(folder / "expected.npz"))
    row = {"transformers": distance(ours["F32"], expected["transformers"])}
    row |= {kind: distance(ours[kind], expected[kind]) for kind in KINDS if kind in expected}
    row["reference"] = between(ours, reference)
    for kind in KINDS:
        if kind in expected:
            row[f"llama {kind}"] = distance(reference[kind], expected[kind])
    return row


def _ask_process(folder: Path, backend: str) -> Found:
    environment = {**os.environ, "LOCALLLM_BACKEND": backend}
    text = _run([sys.executable, __file__, "--engine-only", folder], environment)
    found: Found = json.loads(text.splitlines()[-1])
    return found


def _run(command: list[Any], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{command[1]} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def main() -> None:
    """Judge what is asked for, or all."""
    from scripts.make_architecture_models import CASES

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--llama-python", type=Path)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--engine-only", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.engine_only:
        print(json.dumps(ask_engine(asked.engine_only)))
        return
    print(f"{'':22}" + "".join(f"{name:>14}" for name in COLUMNS + THEIRS))
    for name in asked.only:
        row = judge(name, asked)
        cells = [f"{row[key]:.4f}" if key in row else "-" for key in COLUMNS + THEIRS]
        print(f"{name:22}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

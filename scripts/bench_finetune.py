#!/usr/bin/env python
"""LoRA steps a second: `localllm finetune` beside mlx-lm as shipped, same model, data and shape.

    scripts/bench_finetune.py [MODEL.gguf]

mlx-lm trains on the model converted to its own form, once with dense weights and once with 4 bits,
on MLX's own CPU back end; the ratio is to the faster of the two. Programs take turns, medians. Both
adapt all linear layers, rank 8, batches of 4, examples of one length.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
LOCALLLM = [sys.executable, str(ROOT / "localllm.py")]
NUM_EXAMPLES = 24


def main() -> None:
    """Print steps a second of each, and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "model", type=Path, nargs="?", default=ROOT / "models" / "pocket" / "pocket.gguf"
    )
    parser.add_argument("--words", type=int, default=64, help="of each example")
    parser.add_argument("--steps", type=int, default=12, help="of ours in a round")
    parser.add_argument("--peer-steps", type=int, default=2, help="of mlx-lm in a round")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_examples(folder, asked.words)
        dense, small = folder / "dense", folder / "small"
        _run([*LOCALLLM, "convert", str(asked.model), "mlx", "-o", str(dense)])
        _run([*LOCALLLM, "quantize", str(asked.model), "mlx-4bit", "--allow-requantize",
              "--output", str(small)])  # fmt: skip
        ways: dict[str, Callable[[], float]] = {
            "localllm": lambda: _ours(asked.model, folder, asked.steps),
            "mlx-lm, dense": lambda: _theirs(dense, folder, asked.peer_steps),
            "mlx-lm, 4 bits": lambda: _theirs(small, folder, asked.peer_steps),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(asked.rounds):
            for way, measure in ways.items():
                rates[way].append(measure())
    _print_table(asked.model.name, asked.rounds, {way: median(all_) for way, all_ in rates.items()})


def _print_table(model: str, num_rounds: int, rates: dict[str, float]) -> None:
    print(f"{model}, {num_rounds} rounds in turn, medians, load {os.getloadavg()[0]:.1f}")
    for way, rate in rates.items():
        print(f"{way:16}{rate:10.3f} steps/s")
    best = max(rate for way, rate in rates.items() if way != "localllm")
    print(f"{'ratio':16}{rates['localllm'] / best:10.1f}  (wanted 20)")


def _write_examples(folder: Path, num_words: int) -> None:
    lines = [
        json.dumps({"text": " ".join(f"word{(7 * i + k) % 97}" for k in range(num_words))})
        for i in range(NUM_EXAMPLES)
    ]
    for name in ("train", "valid"):
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _ours(model: Path, folder: Path, num_steps: int) -> float:
    """By the times at which the steps' lines come; the first step warms up."""
    command = [*LOCALLLM, "finetune", str(model), "--data", str(folder / "train.jsonl"),
               "--output", str(folder / "ours"), "--steps", str(num_steps), "--json",
               "--layers", "-1", "--validation", "0",
               "--save-every", str(num_steps + 1)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        times = [time.perf_counter() for _ in training.stdout]
    if training.returncode or len(times) < num_steps:
        sys.exit(f"{' '.join(command)} failed")
    return 1 / median(after - before for before, after in pairwise(times))


def _theirs(model: Path, folder: Path, num_steps: int) -> float:
    """By mlx-lm's own report; the first of several steps warms up."""
    peer = ROOT / "scripts" / "peers" / "mlx_lm_finetune.py"
    printed = _run([sys.executable, str(peer), str(model), str(folder), str(folder / "theirs"),
                    "--steps", str(num_steps)])  # fmt: skip
    rates: list[float] = json.loads(printed.splitlines()[-1])
    return median(rates[1:] or rates)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()

"""Our engine beside llama.cpp: same file, same threads, in turn, medians and ratios.

    scripts/bench_vs_peers.py MODEL.gguf --llama-python PATH

PATH is a Python with llama-cpp-python (build it with clang: GCC 12 miscompiles its AMX part).
Each measurement is a process of its own; the two programs take turns so that a machine that slows
down slows both. The last columns say what part of the measured read bandwidth one stream used.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ("prefill_tok_s", "decode_tok_s", "batch_decode_tok_s", "load_s", "peak_rss_bytes")


def main() -> None:
    """Print one table a prompt length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--llama-python", type=Path, required=True)
    parser.add_argument("--prompt-tokens", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--gen-tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    bandwidth = _read_bandwidth(asked.threads)
    print(f"{asked.model.name}, {asked.threads} threads, {asked.rounds} rounds in turn, medians")
    print(f"read bandwidth {bandwidth / 1e9:.1f} GB/s")
    for num_tokens in asked.prompt_tokens:
        ours, theirs = _take_turns(asked, num_tokens)
        print(f"\nprompt {num_tokens}, {asked.gen_tokens} generated, batch {asked.batch}")
        print(f"{'':20}{'localllm':>12}{'llama.cpp':>12}{'ratio':>8}")
        for name in FIGURES:
            mine = median(run[name] for run in ours)
            other = median(run[name] for run in theirs)
            print(f"{name:20}{_short(mine):>12}{_short(other):>12}{mine / other:>8.2f}")
        used = median(run["decode_tok_s"] for run in ours) * asked.model.stat().st_size
        print(f"{'bandwidth used':20}{used / bandwidth:>12.0%}")


def _take_turns(
    asked: argparse.Namespace, num_tokens: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    workload = [
        f"--prompt-tokens={num_tokens}",
        f"--gen-tokens={asked.gen_tokens}",
        f"--batch={asked.batch}",
        f"--threads={asked.threads}",
        "--repeat=1",
    ]
    us = [sys.executable, ROOT / "localllm.py", "bench", asked.model.absolute(), "--json"]
    them = [asked.llama_python, ROOT / "scripts" / "peers" / "llama_cpp_bench.py", asked.model]
    ours, theirs = [], []
    for _ in range(asked.rounds):
        ours.append(_measure([*us, *workload]))
        theirs.append(_measure([*them, *workload]))
    return ours, theirs


def _measure(command: list[Any]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _read_bandwidth(num_threads: int) -> float:
    sys.path.insert(0, str(ROOT))
    from metal_kernels import backend

    backend.set_num_threads(num_threads)
    return median(backend.cpu.read_bandwidth(2**29) for _ in range(5))


def _short(value: float) -> str:
    return f"{value / 1e6:.0f} M" if value > 1e6 else f"{value:.2f}"


if __name__ == "__main__":
    main()

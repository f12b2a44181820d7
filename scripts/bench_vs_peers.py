"""Our engine beside llama.cpp and mistral.rs: same file, same threads, in turn, medians and ratios.

    scripts/bench_vs_peers.py MODEL.gguf --llama-python PATH --mistral-python PATH

PATH is a Python with llama-cpp-python (build it with clang: GCC 12 miscompiles its AMX part), or
with mistralrs. Each measurement is a process of its own; the programs take turns so that a machine
that slows down slows all. The ratio is to the best of the others. The last line says what part of
the measured read bandwidth one stream used: the bytes of all tensors that a step reads whole.
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
LESS_IS_BETTER = ("load_s", "peak_rss_bytes")
Runs = list[dict[str, Any]]


def main() -> None:
    """Print one table a prompt length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--llama-python", type=Path)
    parser.add_argument("--mistral-python", type=Path)
    parser.add_argument("--prompt-tokens", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--gen-tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    bandwidth, step_bytes = _read_bandwidth(asked.threads), _step_bytes(asked.model)
    print(f"{asked.model.name}, {asked.threads} threads, {asked.rounds} rounds in turn, medians")
    print(f"read bandwidth {bandwidth / 1e9:.1f} GB/s, a step reads {step_bytes / 1e6:.0f} MB")
    for num_tokens in asked.prompt_tokens:
        runs = _take_turns(asked, num_tokens)
        print(f"\nprompt {num_tokens}, {asked.gen_tokens} generated, batch {asked.batch}")
        print(f"{'':20}" + "".join(f"{name:>12}" for name in runs) + f"{'ratio':>8}")
        for figure in FIGURES:
            _print_row(figure, [_median(program, figure) for program in runs.values()])
        used = median(run["decode_tok_s"] for run in runs["localllm"]) * step_bytes
        print(f"{'bandwidth used':20}{used / bandwidth:>12.0%}")


def _median(runs: Runs, figure: str) -> float | None:
    values = [run[figure] for run in runs if run[figure] is not None]
    return median(values) if values else None


def _print_row(figure: str, values: list[float | None]) -> None:
    mine, *others = values
    known = [value for value in others if value is not None]
    line = f"{figure:20}" + "".join(f"{_short(value):>12}" for value in values)
    if mine is not None and known:
        best = min(known) if figure in LESS_IS_BETTER else max(known)
        line += f"{mine / best:>8.2f}"
    print(line)


def _take_turns(asked: argparse.Namespace, num_tokens: int) -> dict[str, Runs]:
    workload = [
        f"--prompt-tokens={num_tokens}",
        f"--gen-tokens={asked.gen_tokens}",
        f"--batch={asked.batch}",
        f"--threads={asked.threads}",
        "--repeat=1",
    ]
    model, peers = asked.model.absolute(), ROOT / "scripts" / "peers"
    programs: dict[str, list[Any]] = {
        "localllm": [sys.executable, ROOT / "localllm.py", "bench", model, "--json"]
    }
    if asked.llama_python:
        programs["llama.cpp"] = [asked.llama_python, peers / "llama_cpp_bench.py", model]
    if asked.mistral_python:
        programs["mistral.rs"] = [asked.mistral_python, peers / "mistral_rs_bench.py", model]
    runs: dict[str, Runs] = {name: [] for name in programs}
    for _ in range(asked.rounds):
        for name, command in programs.items():
            runs[name].append(_measure([*command, *workload]))
    return runs


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


def _step_bytes(model: Path) -> int:
    """What one token reads: all tensors but a table of embeddings that is not the output too."""
    from models.formats.gguf import read_gguf

    tensors = read_gguf(model).tensors
    unread = "token_embd.weight" if "output.weight" in tensors else ""
    return sum(tensor.num_bytes for name, tensor in tensors.items() if name != unread)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e6:.0f} M" if value > 1e6 else f"{value:.2f}"


if __name__ == "__main__":
    main()

"""Our quantization beside llama.cpp's: same F16 file and threads, in turn; seconds and perplexity.

Seconds are by the clock and, in brackets, of processors, which hardly depend on what else runs.

    scripts/bench_quantize.py MODEL-F16.gguf --llama-python PATH

PATH is a Python with llama-cpp-python. Each run is a process of its own. Perplexity is measured
by llama.cpp on both programs' files, which shows that it opens ours; the text is what the F16 model
itself writes at temperature 1, unless --text names one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PEER = ROOT / "scripts" / "peers" / "llama_cpp_quantize.py"


def main() -> None:
    """Print one line a type."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--llama-python", type=Path, required=True)
    parser.add_argument("--types", nargs="+", default=["Q4_K_M"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ours:
        _quantize_ours(asked)
        return
    with tempfile.TemporaryDirectory() as name:
        _compare(asked, Path(name))


def _compare(asked: argparse.Namespace, folder: Path) -> None:
    text = asked.text
    if text is None:
        text = folder / "text.txt"
        text.write_text(_written_by(asked.model), encoding="utf-8")
    before = _peer(asked, "perplexity", asked.model, text, "--window", asked.window)
    print(f"{asked.model.name}, {asked.threads} threads, {asked.rounds} rounds in turn, medians")
    print(f"F16 perplexity {before['perplexity']:.4f} over {before['num_tokens']} tokens")
    print(f"{'':8}{'seconds':>32}{'':>17}{'perplexity':>24}")
    header = ("type", "localllm", "llama.cpp", "speed", "localllm", "llama.cpp", "ratio")
    print("{:8}{:>16}{:>16}{:>17}{:>12}{:>12}{:>9}".format(*header))
    for label in asked.types:
        ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
        runs: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
        for _ in range(asked.rounds):
            runs[0].append(_run_ours(asked, label, ours))
            runs[1].append(_peer(asked, "quantize", asked.model, theirs, label))
        found = [
            _peer(asked, "perplexity", path, text, "--window", asked.window)["perplexity"]
            for path in (ours, theirs)
        ]
        clock, processor = (
            [median(run[key] for run in each) for each in runs]
            for key in ("seconds", "processor_s")
        )
        times = [f"{a:.2f} ({b:.2f})" for a, b in zip(clock, processor, strict=True)]
        speed = f"{clock[1] / clock[0]:.2f} ({processor[1] / processor[0]:.2f})"
        print(
            f"{label:8}{times[0]:>16}{times[1]:>16}{speed:>17}"
            f"{found[0]:>12.4f}{found[1]:>12.4f}{found[0] / found[1]:>9.4f}",
            flush=True,
        )


def _written_by(model: Path) -> str:
    """A text of about 8,000 tokens that the model finds likely."""
    from engine.loading import EngineOptions, load_model
    from engine.request import Request, SamplingParams
    from models.resolve import resolve_path

    loaded = load_model(resolve_path(model), EngineOptions(max_context_tokens=600))
    tokens: dict[str, list[int]] = {}
    starts = loaded.tokenizer.encode("", add_special=True) or [loaded.tokenizer.bos_token_id or 0]
    for number in range(16):
        sampling = SamplingParams(
            temperature=1, top_k=0, top_p=1, max_tokens=512, seed=number, ignore_eos=True
        )
        loaded.engine.add_request(Request(str(number), tuple(starts), sampling))
    while loaded.engine.has_unfinished:
        for output in loaded.engine.step():
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
    pieces = (loaded.tokenizer.token_bytes(token) for ids in tokens.values() for token in ids)
    return b"".join(pieces).decode(errors="replace")


def _run_ours(asked: argparse.Namespace, label: str, target: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(asked.model), "--ours", "--types", label]
    command += ["--llama-python", "none", "--target", str(target), "--threads", str(asked.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _quantize_ours(asked: argparse.Namespace) -> None:
    from engine.conversion.convert import quantize
    from engine.conversion.types import parse_type
    from metal_kernels import backend
    from models.resolve import resolve_path
    from models.store.new_files import write_files

    backend.set_num_threads(asked.threads)
    start_s, start_processor_s = time.perf_counter(), time.process_time()
    write_files(quantize(resolve_path(asked.model), parse_type(asked.types[0])), asked.target)
    seconds, processor_s = time.perf_counter() - start_s, time.process_time() - start_processor_s
    print(json.dumps({"seconds": seconds, "processor_s": processor_s}))


def _peer(asked: argparse.Namespace, *arguments: Any) -> dict[str, float]:
    command = [asked.llama_python, PEER, *arguments, "--threads", asked.threads]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()

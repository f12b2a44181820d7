"""Quantizes with llama.cpp, or measures perplexity with it; prints JSON.

Runs under any Python that has llama-cpp-python; knows nothing of LocalLLM.
"""

import argparse
import ctypes
import json
import math
import time
from pathlib import Path

import llama_cpp
import numpy as np


def main() -> None:
    """One of the two tasks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    quantizing = tasks.add_parser("quantize")
    quantizing.add_argument("source", type=Path)
    quantizing.add_argument("target", type=Path)
    quantizing.add_argument("type")
    quantizing.add_argument("--threads", type=int, default=2)
    measuring = tasks.add_parser("perplexity")
    measuring.add_argument("model", type=Path)
    measuring.add_argument("text", type=Path)
    measuring.add_argument("--window", type=int, default=512)
    measuring.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    silent = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
    llama_cpp.llama_log_set(silent, None)
    print(json.dumps(quantize(asked) if asked.task == "quantize" else perplexity(asked)))


def quantize(asked: argparse.Namespace) -> dict[str, float]:
    """Seconds that llama_model_quantize takes: by the clock, and of processors."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = asked.threads
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{asked.type}")
    start_s, start_processor_s = time.perf_counter(), time.process_time()
    source, target = str(asked.source).encode(), str(asked.target).encode()
    if llama_cpp.llama_model_quantize(source, target, ctypes.byref(params)) != 0:
        raise SystemExit("llama_model_quantize failed")
    return {
        "seconds": time.perf_counter() - start_s,
        "processor_s": time.process_time() - start_processor_s,
    }


def perplexity(asked: argparse.Namespace) -> dict[str, float]:
    """Over windows that do not overlap, the second half of each predicted."""
    model = llama_cpp.Llama(
        str(asked.model),
        n_ctx=asked.window,
        n_batch=asked.window,
        n_threads=asked.threads,
        logits_all=True,
        verbose=False,
    )
    tokens = model.tokenize(asked.text.read_bytes(), add_bos=True, special=True)
    losses: list[float] = []
    for start in range(0, len(tokens) - asked.window + 1, asked.window):
        window = tokens[start : start + asked.window]
        model.reset()
        model.eval(window)
        for place in range(asked.window // 2, asked.window):
            row = model.scores[place - 1].astype(np.float64)
            losses.append(float(np.logaddexp.reduce(row) - row[window[place]]))
    return {"perplexity": math.exp(math.fsum(losses) / len(losses)), "num_tokens": len(losses)}


if __name__ == "__main__":
    main()

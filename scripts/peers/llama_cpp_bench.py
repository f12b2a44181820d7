"""The workload of `localllm bench` through llama.cpp's own batch interface, as JSON.

Runs under any Python that has llama-cpp-python; knows nothing of LocalLLM.
"""

import argparse
import json
import random
import time
from pathlib import Path
from statistics import median
from typing import Any

import llama_cpp


def main() -> None:
    """Load once, run the workload `--repeat` times, print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--gen-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    start_s = time.perf_counter()
    model, context = _load(asked)
    load_s = time.perf_counter() - start_s
    rng = random.Random(0)
    num_tokens = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    _run(context, [_draw(rng, num_tokens, 16)], 4)
    single, batched = [], []
    for _ in range(asked.repeat):
        single.append(
            _run(context, [_draw(rng, num_tokens, asked.prompt_tokens)], asked.gen_tokens)
        )
        prompts = [_draw(rng, num_tokens, 16) for _ in range(asked.batch)]
        batched.append(_run(context, prompts, asked.gen_tokens))
    print(
        json.dumps(
            {
                "load_s": load_s,
                "prefill_tok_s": median(asked.prompt_tokens / first_s for first_s, _ in single),
                "decode_tok_s": median(rate for _, rate in single),
                "batch_decode_tok_s": median(rate for _, rate in batched),
                "peak_rss_bytes": _peak_rss_bytes(),
            }
        )
    )


def _peak_rss_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _load(asked: argparse.Namespace) -> tuple[Any, Any]:
    llama_cpp.llama_backend_init()
    silent = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
    llama_cpp.llama_log_set(silent, None)
    model_params = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(asked.model).encode(), model_params)
    params = llama_cpp.llama_context_default_params()
    needed = max(asked.prompt_tokens + asked.gen_tokens, asked.batch * (16 + asked.gen_tokens))
    params.n_ctx, params.n_batch, params.n_ubatch = needed + 64, 512, 512
    params.n_threads = params.n_threads_batch = asked.threads
    params.n_seq_max, params.kv_unified = asked.batch, True
    return model, llama_cpp.llama_init_from_model(model, params)


def _draw(rng: random.Random, num_tokens: int, length: int) -> list[int]:
    return [rng.randrange(num_tokens) for _ in range(length)]


def _run(context: Any, prompts: list[list[int]], num_gen_tokens: int) -> tuple[float, float]:
    """Seconds until every prompt is read, and tokens a second of all sequences from then on."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    start_s = time.perf_counter()
    for number, prompt in enumerate(prompts):
        for first in range(0, len(prompt), 512):
            chunk = prompt[first : first + 512]
            _decode(context, [(token, first + i, number) for i, token in enumerate(chunk)])
    first_s = time.perf_counter()
    for i in range(1, num_gen_tokens):
        _decode(context, [(i, len(prompt) + i - 1, n) for n, prompt in enumerate(prompts)], True)
    decode_s = time.perf_counter() - first_s
    return first_s - start_s, len(prompts) * (num_gen_tokens - 1) / decode_s


def _decode(context: Any, rows: list[tuple[int, int, int]], all_logits: bool = False) -> None:
    batch = llama_cpp.llama_batch_init(len(rows), 0, 1)
    batch.n_tokens = len(rows)
    for i, (token, position, sequence) in enumerate(rows):
        batch.token[i], batch.pos[i] = token, position
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        batch.logits[i] = all_logits or i == len(rows) - 1
    if llama_cpp.llama_decode(context, batch) != 0:
        raise SystemExit("llama_decode failed")
    llama_cpp.llama_batch_free(batch)


if __name__ == "__main__":
    main()

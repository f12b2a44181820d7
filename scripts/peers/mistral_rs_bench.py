"""The workload of `localllm bench` through mistral.rs, as JSON.

Runs under any Python that has mistralrs; knows nothing of LocalLLM. A batch is left out: the Python
interface takes one call at a time, and several choices of one prompt fail on the CPU (0.9.5: "input
tensor is not contiguous").
"""

import argparse
import json
import os
import random
import time
from pathlib import Path
from statistics import median
from typing import Any


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
    os.environ["RAYON_NUM_THREADS"] = str(asked.threads)  # read where the library is imported
    os.environ["RUST_LOG"] = "off"
    import mistralrs

    start_s = time.perf_counter()
    runner = mistralrs.Runner(
        which=mistralrs.Which.GGUF(
            quantized_model_id=str(asked.model.absolute().parent),
            quantized_filename=asked.model.name,
        ),
        max_seqs=1,
        prefix_cache_n=0,
    )
    load_s = time.perf_counter() - start_s
    bench = _Bench(runner)
    bench.run(16, 4)
    single = [bench.run(asked.prompt_tokens, asked.gen_tokens) for _ in range(asked.repeat)]
    print(
        json.dumps(
            {
                "load_s": load_s,
                "prefill_tok_s": median(usage.avg_prompt_tok_per_sec for usage in single),
                "decode_tok_s": median(usage.avg_compl_tok_per_sec for usage in single),
                "batch_decode_tok_s": None,
                "peak_rss_bytes": _peak_rss_bytes(),
            }
        )
    )


class _Bench:
    """Prompts of random numbers, so that nothing is found in a cache."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._random = random.Random(0)

    def run(self, num_prompt_tokens: int, num_gen_tokens: int) -> Any:
        """What the program itself counts."""
        import mistralrs

        words = " ".join(str(self._random.randrange(1000)) for _ in range(num_prompt_tokens))
        tokens = self._runner.tokenize_text(words, False, None)[: num_prompt_tokens - 1]
        request = mistralrs.CompletionRequest(
            model="default",
            prompt=self._runner.detokenize_text(tokens, True),
            max_tokens=num_gen_tokens,
            temperature=0.0,
            ignore_eos=True,
        )
        return self._runner.send_completion_request(request).usage


def _peak_rss_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()

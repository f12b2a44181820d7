"""Measures one loaded model: prefill, decode, batched decode and time to first token.

Random prompts, so that nothing is found in the prefix cache, and no drafts, so that the figures do
not depend on the text.
"""

import random
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from engine.engine import Engine
from engine.loading import LoadedModel
from engine.request import Request, SamplingParams

NUM_BATCH_PROMPT_TOKENS = 16
"""Prompts of the batched run are short: it measures decoding."""


@dataclass(frozen=True)
class Workload:
    """What is run, `num_repeats` times."""

    num_prompt_tokens: int
    num_gen_tokens: int
    num_sequences: int
    num_repeats: int

    @property
    def context_tokens(self) -> int:
        """The context that holds it: the pool keeps four of them."""
        batch = self.num_sequences * (NUM_BATCH_PROMPT_TOKENS + self.num_gen_tokens + 32)
        return max(self.num_prompt_tokens + self.num_gen_tokens, -(-batch // 4)) + 32


@dataclass(frozen=True)
class Figures:
    """Medians over the repeats; tokens a second, seconds and bytes."""

    prefill_tok_s: float
    decode_tok_s: float
    batch_decode_tok_s: float
    ttft_s: float
    peak_rss_bytes: int


def measure(model: LoadedModel, workload: Workload) -> Figures:
    """Run the workload, after one short run that pages the weights in."""
    prompts = _Prompts(model.tokenizer.vocab_size)
    _run(model.engine, [prompts.draw(NUM_BATCH_PROMPT_TOKENS)], 4)
    single, batched = [], []
    for _ in range(workload.num_repeats):
        prompt = prompts.draw(workload.num_prompt_tokens)
        single.append(_run(model.engine, [prompt], workload.num_gen_tokens))
        many = [prompts.draw(NUM_BATCH_PROMPT_TOKENS) for _ in range(workload.num_sequences)]
        batched.append(_run(model.engine, many, workload.num_gen_tokens))
    return Figures(
        prefill_tok_s=median(workload.num_prompt_tokens / run.first_token_s for run in single),
        decode_tok_s=median(run.decode_tok_s for run in single),
        batch_decode_tok_s=median(run.decode_tok_s for run in batched),
        ttft_s=median(run.first_token_s for run in single),
        peak_rss_bytes=peak_rss_bytes(),
    )


def peak_rss_bytes() -> int:
    """The most memory this process has had resident.

    On Linux not from getrusage: its figure is inherited from the process that started this one.
    """
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@dataclass(frozen=True)
class _Run:
    first_token_s: float
    """Until every request had its first token."""
    decode_tok_s: float
    """Of all requests together, from then on."""


def _run(engine: Engine, prompts: list[tuple[int, ...]], num_gen_tokens: int) -> _Run:
    sampling = SamplingParams(temperature=0, max_tokens=num_gen_tokens, ignore_eos=True)
    start_s = time.perf_counter()
    for number, prompt in enumerate(prompts):
        engine.add_request(Request(f"bench-{number}", prompt, sampling))
    waiting = {f"bench-{number}" for number in range(len(prompts))}
    first_s, num_decoded = start_s, 0
    while engine.has_unfinished:
        outputs = engine.step()
        if waiting:
            waiting -= {output.request_id for output in outputs if output.token_ids}
            first_s = time.perf_counter()
        else:
            num_decoded += sum(len(output.token_ids) for output in outputs)
    decode_s = time.perf_counter() - first_s
    return _Run(first_s - start_s, num_decoded / decode_s if num_decoded else 0.0)


class _Prompts:
    """Prompts that have nothing in common, the same ones in every process."""

    def __init__(self, vocab_size: int) -> None:
        self._random = random.Random(0)
        self._vocab_size = vocab_size

    def draw(self, num_tokens: int) -> tuple[int, ...]:
        return tuple(self._random.randrange(self._vocab_size) for _ in range(num_tokens))

"""What HTTP costs: the daemon beside the bare engine, same model, same prompts, taken in turn.

Prints medians of tokens a second at several streams, and of the time to the first token of one.
Wanted: at most 3 % of the throughput and 3 ms of the time to the first token.

    python scripts/bench_http.py [--model pocket] [--streams 8] [--tokens 64] [--repeats 7]
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.soak_daemon import running_daemon

NUM_PROMPT_TOKENS = 24
CONTEXT_TOKENS = 1024
MAX_TOKEN_ID = 1000
"""Every vocabulary has so many tokens that are text, from `MIN_TOKEN_ID` on."""
MIN_TOKEN_ID = 300

Prompts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Run:
    """Several answers at once: all their tokens, the time for them and the first one's first."""

    num_tokens: int
    total_s: float
    first_token_s: float

    @property
    def tokens_per_s(self) -> float:
        """All streams together."""
        return self.num_tokens / self.total_s


def draw(rng: random.Random, number: int) -> Prompts:
    """Prompts that nobody has seen, so that nothing of them is cached."""
    tokens = range(MIN_TOKEN_ID, MAX_TOKEN_ID)
    return [rng.choices(tokens, k=NUM_PROMPT_TOKENS) for _ in range(number)]


def serve_bare(model_name: str, num_tokens: int) -> None:
    """The bare engine as a process: a line of prompts in, a line of figures out."""
    from engine.loading import EngineOptions, load_model
    from engine.request import Request, SamplingParams
    from models.resolve import resolve
    from models.store.library import Library

    with tempfile.TemporaryDirectory() as root:
        files = resolve(model_name, Library(Path(root)))
        engine = load_model(files, EngineOptions(max_context_tokens=CONTEXT_TOKENS)).engine
        print("ready", flush=True)
        for line in sys.stdin:
            begun_s, first_s, count = time.perf_counter(), 0.0, 0
            for index, prompt in enumerate(json.loads(line)):
                params = SamplingParams(temperature=0.0, max_tokens=num_tokens, seed=1)
                engine.add_request(Request(str(index), tuple(prompt), params))
            while engine.has_unfinished:
                count += sum(len(output.token_ids) for output in engine.step())
                first_s = first_s or (time.perf_counter() - begun_s if count else 0.0)
            print(json.dumps([count, time.perf_counter() - begun_s, first_s]), flush=True)


def ask_bare(bare: "subprocess.Popen[str]", prompts: Prompts) -> Run:
    """One run of the bare engine."""
    assert bare.stdin is not None
    assert bare.stdout is not None
    bare.stdin.write(json.dumps(prompts) + "\n")
    bare.stdin.flush()
    return Run(*json.loads(bare.stdout.readline()))


async def ask_http(port: int, model: str, prompts: Prompts, num_tokens: int) -> Run:
    """One run through the daemon; each prompt is a client of its own."""
    begun_s = time.perf_counter()
    asks = [_stream(port, model, prompt, num_tokens, begun_s) for prompt in prompts]
    found = await asyncio.gather(*asks)
    total_s = time.perf_counter() - begun_s
    return Run(sum(count for count, _ in found), total_s, min(first for _, first in found))


async def _stream(
    port: int, model: str, prompt: Sequence[int], num_tokens: int, begun_s: float
) -> tuple[int, float]:
    """How many tokens an answer has, and when the first piece of it came."""
    body = json.dumps(
        {
            "model": model,
            "prompt": prompt,
            "max_tokens": num_tokens,
            "temperature": 0,
            "seed": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
    await reader.readuntil(b"\r\n\r\n")
    data = await reader.read(1 << 16)
    first_s = time.perf_counter() - begun_s
    data += await reader.read()
    writer.close()
    (usage,) = (
        line for line in data.splitlines() if line.startswith(b'data: {"id"') if b"usage" in line
    )
    return json.loads(usage.removeprefix(b"data: "))["usage"]["completion_tokens"], first_s


async def compare(model: str, num_streams: int, num_tokens: int, num_repeats: int) -> None:
    """Print the ratios."""
    rng = random.Random(1)
    command = [sys.executable, "-m", "scripts.bench_http", "--bare", "--model", model]
    command += ["--tokens", str(num_tokens)]
    bare = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert bare.stdout is not None
    many: list[tuple[Run, Run]] = []
    one: list[tuple[Run, Run]] = []
    with tempfile.TemporaryDirectory() as home:
        async with running_daemon(Path(home)) as (_, port):
            await asyncio.to_thread(bare.stdout.readline)
            for repeat in range(num_repeats + 1):
                prompts, single = draw(rng, num_streams), draw(rng, 1)
                bare_many = await asyncio.to_thread(ask_bare, bare, prompts)
                http_many = await ask_http(port, model, prompts, num_tokens)
                bare_one = await asyncio.to_thread(ask_bare, bare, single)
                http_one = await ask_http(port, model, single, num_tokens)
                if repeat:  # the first pages the weights in
                    many.append((bare_many, http_many))
                    one.append((bare_one, http_one))
    assert bare.stdin is not None
    bare.stdin.close()
    bare.wait()
    bare_rates, http_rates = (
        [run.tokens_per_s for run in runs] for runs in zip(*many, strict=True)
    )
    lost = 1 - median(h / b for b, h in zip(bare_rates, http_rates, strict=True))
    least_lost = 1 - max(http_rates) / max(bare_rates)
    print(f"{num_streams} streams, bare engine: {median(bare_rates):.1f} tok/s")
    print(f"  lost through HTTP: {lost:.1%} (best runs: {least_lost:.1%})   wanted <= 3 %")
    bare_ms, http_ms = (
        [1e3 * run.first_token_s for run in runs] for runs in zip(*one, strict=True)
    )
    late_ms = median(h - b for b, h in zip(bare_ms, http_ms, strict=True))
    least_ms = min(http_ms) - min(bare_ms)
    print(f"first token, bare engine: {median(bare_ms):.1f} ms")
    print(f"  later through HTTP: {late_ms:.1f} ms (best runs: {least_ms:.1f} ms)   wanted <= 3 ms")


def main() -> None:
    """Measure, or serve the bare engine to the process that measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        serve_bare(given.model, given.tokens)
    else:
        asyncio.run(compare(given.model, given.streams, given.tokens, given.repeats))


if __name__ == "__main__":
    main()

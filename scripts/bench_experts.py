"""Speed of a layer of experts on the CPU: routing, gate, up, down and sum, as one step does it.

    scripts/bench_experts.py [TYPE ...] [--experts 64 --used 8 --width 2048 --hidden 768]

GB/s counts the packed weights of the experts that some token goes to. "beside" is the time of plain
products over as many weights, of as many rows as an expert has on average: the difference is what
sorting, gathering and summing cost.
"""

import argparse
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from metal_kernels import backend, grouped, quantized  # noqa: E402
from metal_kernels.experts import ExpertWeights, expert_mlp, route  # noqa: E402
from metal_kernels.routing import Routing  # noqa: E402
from scripts.bench_kernels import BLOCKS, SCALES, read_bandwidth, seconds  # noqa: E402

NUM_LAYERS = 6
"""In turn, so that none stays in a cache."""


def random_rows(name: str, num_rows: int, num_columns: int) -> np.ndarray:
    """GGUF blocks of random codes, uint8 [N, row_bytes]."""
    block_columns, block_bytes = BLOCKS[name]
    count = num_rows * num_columns // block_columns
    blocks = np.random.default_rng(0).integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for offset in SCALES[name]:
        blocks[:, offset : offset + 2] = np.full((count, 1), 0.01, np.float16).view(np.uint8)
    return blocks.reshape(num_rows, -1)


def make_layer(name: str, asked: argparse.Namespace) -> ExpertWeights:
    """One layer's experts."""
    shapes = ((asked.hidden, asked.width), (asked.hidden, asked.width), (asked.width, asked.hidden))
    stacks = []
    for rows, columns in shapes:
        blocks = random_rows(name, asked.experts * rows, columns)
        stacks.append(grouped.load_blocks(name, blocks.reshape(asked.experts, rows, -1), columns))
    return ExpertWeights(*stacks)


def bench(name: str, tokens: int, layers: list[ExpertWeights], asked: argparse.Namespace) -> str:
    """One line."""
    mx.random.seed(tokens)
    x, logits = mx.random.normal((tokens, asked.width)), mx.random.normal((tokens, asked.experts))
    routing = Routing(asked.used, normalised=True)
    chosen = np.unique(np.array(route(logits, routing)[0]))

    def run() -> mx.array:
        outs = []
        for layer in layers:
            ids, weights = route(logits, routing)
            outs.append(expert_mlp(x, ids, weights, layer)[0, 0])
        return mx.stack(outs)

    took = seconds(run, 7) / len(layers)
    stack_bytes = sum(part.num_bytes for part in (layers[0].gate, layers[0].up, layers[0].down))
    used_bytes = stack_bytes * len(chosen) / asked.experts
    flops = 6 * tokens * asked.used * asked.width * asked.hidden / took
    return (
        f"{name:6} {tokens:5} tokens {len(chosen):4} experts {took * 1e3:8.2f} ms "
        f"{used_bytes / took / 1e9:6.1f} GB/s {flops / 1e9:7.0f} GFLOP/s"
    )


def bench_plain(name: str, tokens: int, asked: argparse.Namespace) -> float:
    """Seconds of plain products that read as many weights, rows as an expert has on average."""
    used = min(asked.experts, max(1, tokens * asked.used))
    rows = max(1, round(tokens * asked.used / used))
    num_rows = used * 3 * asked.hidden
    blocks = random_rows(name, num_rows, asked.width)
    matrices = [quantized.load_blocks(name, blocks, asked.width) for _ in range(2)]
    x = mx.random.normal((rows, asked.width))
    return seconds(lambda: mx.stack([quantized.matmul(x, w)[0, 0] for w in matrices]), 5) / 2


def main() -> None:
    """Parse arguments and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("types", nargs="*", default=["Q4_K", "Q8_0"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 4, 16, 128, 512])
    for option, value in (("experts", 64), ("used", 8), ("width", 2048), ("hidden", 768)):
        parser.add_argument(f"--{option}", type=int, default=value)
    asked = parser.parse_args()
    bandwidth = read_bandwidth()
    about = backend.describe()
    print(f"{about.isa}, {about.num_threads} threads, memory reads {bandwidth / 1e9:.1f} GB/s")
    for name in asked.types:
        layers = [make_layer(name, asked) for _ in range(NUM_LAYERS)]
        for tokens in asked.tokens:
            line = bench(name, tokens, layers, asked)
            print(f"{line}   beside {bench_plain(name, tokens, asked) * 1e3:8.2f} ms", flush=True)


if __name__ == "__main__":
    main()

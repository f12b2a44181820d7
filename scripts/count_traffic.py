"""Bytes that our Metal kernels move, counted on the simulator, over the least that they could.

    python scripts/count_traffic.py [--only TEXT]

The last-level cache is far smaller than the data, so what is read twice counts twice. The least:
weights, or keys and values, once, inputs and outputs once. The machine it runs on does not matter.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from metal_kernels.metal import grouped_matmul, kernel
from metal_kernels.metal.block_formats import FORMATS
from metal_kernels.metal.kv_rows import INT8, int8_row_bytes
from metal_kernels.metal.paged_attention import paged_attention
from metal_kernels.metal.quantized_matmul import StoredBlocks, matmul_many
from tests.metal_simulator.simulator import Simulator

BLOCK_SIZE = 16
PRODUCT_BAR, SMALL_BAR, ATTENTION_BAR = 1.03, 1.05, 1.05


class Case(NamedTuple):
    """A launch, or several; `run` returns the least bytes they could move."""

    name: str
    bar: float
    cache_bytes: int
    run: Callable[[], int]


def products() -> Iterator[Case]:
    """Every format with one to 32 rows, several matrices at once, experts."""
    for names in ((name,) for name in sorted(FORMATS)):
        for num_x in (1, 4, 8, 32):
            yield _product(names, num_x)
    for num_x in (1, 4, 8):
        yield _product(("Q4_K", "Q4_K", "Q6_K"), num_x)
    yield Case("Q4_K, two of four experts", PRODUCT_BAR, 128 << 10, _experts)


def _product(names: tuple[str, ...], num_x: int) -> Case:
    def run() -> int:
        x = mx.zeros((num_x, 2048), dtype=mx.float16)
        matrices = [StoredBlocks(_blocks(name, 1000, 2048), name) for name in names]
        outputs = matmul_many(x, matrices)
        return sum(a.nbytes for a in (x, *outputs, *(matrix.blocks for matrix in matrices)))

    bar = PRODUCT_BAR if num_x <= 4 else SMALL_BAR
    rows = "1 row" if num_x == 1 else f"{num_x} rows"
    return Case(f"{', '.join(names)}: {rows}", bar, 256 << 10, run)


def _blocks(name: str, num_rows: int, num_columns: int) -> mx.array:
    form = FORMATS[name]
    return mx.zeros((num_rows, num_columns // form.values * form.bytes), dtype=mx.uint8)


def _experts() -> int:
    x, blocks = mx.zeros((1, 4096), dtype=mx.float16), _blocks("Q4_K", 4 * 128, 4096)
    y = grouped_matmul.matmul(x, blocks, mx.array([2, 0]), "Q4_K", 4)
    return x.nbytes + blocks.nbytes // 2 + y.nbytes


class Heads(NamedTuple):
    """Query heads, kv heads, sizes of a key and of a value."""

    num_heads: int
    num_kv_heads: int
    key_size: int = 128
    value_size: int = 128


def attention() -> Iterator[Case]:
    """Decode and verify rows."""
    kinds = {
        "GQA 4": Heads(8, 2),
        "GQA 8": Heads(16, 2),
        "MHA": Heads(2, 2),
        "heads of 64, GQA 4": Heads(8, 2, 64, 64),
        "heads of 80, GQA 4": Heads(8, 2, 80, 80),
        "keys of 192, values of 128": Heads(2, 2, 192, 128),
        "heads of 256, GQA 4": Heads(8, 2, 256, 256),
    }
    for name, heads in kinds.items():
        yield _attention(f"{name}, decode", heads, 2000, 1)
    for name, num_rows in (("GQA 2", 16), ("GQA 4", 5), ("GQA 8", 5), ("GQA 4", 16)):
        heads = Heads(8 * int(name.split()[1]), 8)
        for context in (1500, 4000):
            yield _attention(f"{name}, verify {num_rows} rows", heads, context, num_rows)
    for context in (1000, 2100):
        yield _attention("int8, GQA 4, decode", kinds["GQA 4"], context, 1, INT8)
    yield _attention("int8, GQA 4, verify 5 rows", kinds["GQA 4"], 4000, 5, INT8)


def short_contexts() -> Iterator[Case]:
    """Batch 1 with 32 and 8 heads of 128: the least is what a contiguous cache would move."""
    for context in (16, 64, 256, 500, 1000, 4000):
        yield _attention("32/8 heads, decode", Heads(32, 8), context, 1)


def _attention(
    name: str, heads: Heads, context: int, num_rows: int, dtype: mx.Dtype = mx.float16
) -> Case:
    def run() -> int:
        width = heads.key_size + heads.value_size
        row = int8_row_bytes(heads.key_size, heads.value_size) if dtype == INT8 else width
        num_blocks = -(-context // BLOCK_SIZE)
        pool = mx.zeros((num_blocks, heads.num_kv_heads, BLOCK_SIZE, row), dtype=dtype)
        q = mx.zeros((num_rows, heads.num_heads, heads.key_size), dtype=mx.float16)
        out = paged_attention(
            q, pool, block_tables=mx.arange(num_blocks, dtype=mx.int32)[None],
            query_starts=mx.array([0, num_rows]), context_lens=mx.array([context]), scale=0.1,
        )  # fmt: skip
        read_once = context * heads.num_kv_heads * row * pool.itemsize
        return read_once + q.nbytes + out.nbytes

    return Case(f"{name}, {context} tokens", ATTENTION_BAR, 64 << 10, run)


def count(case: Case) -> tuple[float, int]:
    """Bytes over the least, and the number of launches."""
    simulator = Simulator(cache_bytes=case.cache_bytes)
    kernel.compile_kernel = partial(_simulated, simulator)  # type: ignore[assignment]
    least = case.run()
    return sum(x.device_bytes for x in simulator.launches) / least, len(simulator.launches)


def _simulated(simulator: Simulator, k: kernel.Kernel) -> object:
    return simulator.metal_kernel(k.name, k.inputs, k.outputs, k.source, k.header)


def main() -> None:
    """Print a table; end with 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    only = parser.parse_args().only
    missed = 0
    print("| launch | bytes / least | bar | launches |\n|---|---|---|---|")
    for case in (*products(), *attention(), *short_contexts()):
        if only in case.name:
            ratio, num_launches = count(case)
            missed += ratio > case.bar
            print(f"| {case.name} | {ratio:.3f} | {case.bar} | {num_launches} |", flush=True)
    sys.exit(f"{missed} above their bar" if missed else 0)


if __name__ == "__main__":
    main()

"""Speed of the CPU kernels, as a share of what the machine can do.

GB/s counts the bytes of packed weights (or of keys and values) against the best rate at which the
same threads read memory; GFLOP/s counts two operations a weight and row.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import mlx.core as mx
import numpy as np

from metal_kernels import backend, kv_cache, paged_attention, quantized

# Where a block keeps its float16 scales; the rest may be any bytes.
SCALES = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q8_0": (0,), "Q4_0": (0,)}
BLOCKS = {"Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210), "Q8_0": (32, 34),
          "Q4_0": (32, 18)}  # fmt: skip


def seconds(run: Callable[[], mx.array], repeats: int) -> float:
    """Best of several: the machine may be shared."""
    mx.eval(run())
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        mx.eval(run())
        best = min(best, time.perf_counter() - start)
    return best


def read_bandwidth() -> float:
    """Bytes per second of a sum over more memory than the caches keep."""
    return float(backend.cpu.read_bandwidth(1 << 30))


def make_matrix(name: str, num_rows: int, num_columns: int) -> quantized.QuantizedMatrix:
    """A matrix of random codes."""
    rng = np.random.default_rng(0)
    if name.startswith("affine"):
        bits, group_size = int(name[6]), int(name.split("_g")[1])
        words = num_columns * bits // 32
        weight = mx.array(rng.integers(0, 2**32, (num_rows, words), dtype=np.uint32))
        scales = mx.full((num_rows, num_columns // group_size), 0.01, mx.bfloat16)
        return quantized.load_affine(weight, scales, scales, group_size=group_size, bits=bits)
    if name not in BLOCKS:
        values = rng.standard_normal((num_rows, num_columns)).astype(np.float32)
        dense = {"F16": np.float16, "F32": np.float32}.get(name)
        raw = values.astype(dense) if dense else (values.view(np.uint32) >> 16).astype(np.uint16)
        return quantized.load_blocks(name, raw.view(np.uint8), num_columns)
    block_columns, block_bytes = BLOCKS[name]
    count = num_rows * num_columns // block_columns
    blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for offset in SCALES[name]:
        blocks[:, offset : offset + 2] = np.full((count, 1), 0.01, np.float16).view(np.uint8)
    return quantized.load_blocks(name, blocks.reshape(num_rows, -1), num_columns)


def bench_matmul(name: str, rows: list[int], bandwidth: float) -> None:
    """Several matrices in turn, so that none stays in a cache."""
    num_rows, num_columns = 8192, 2048
    start = time.perf_counter()
    matrix = make_matrix(name, num_rows, num_columns)
    load_s = time.perf_counter() - start
    copies = [matrix] + [make_matrix(name, num_rows, num_columns) for _ in range(23)]
    for count in rows:
        x = mx.random.normal((count, num_columns))
        used = copies if count <= 16 else copies[:2]
        took = seconds(
            lambda x=x, used=used: mx.stack([quantized.matmul(x, w)[0, 0] for w in used]), 3
        ) / len(used)
        rate, flops = matrix.num_bytes / took, 2 * count * num_rows * num_columns / took
        print(
            f"{name:12} {count:5} rows {took * 1e3:8.2f} ms {rate / 1e9:6.1f} GB/s "
            f"({rate / bandwidth:4.0%}) {flops / 1e9:8.0f} GFLOP/s"
        )
    print(f"{name:12} packed at {num_rows * num_columns / load_s / 1e6:.0f} M weights/s")


def bench_attention(context: int, rows: int, sequences: int, bandwidth: float) -> None:
    """A layer of 32 heads on 8 key heads of 64, kept as float16 and as scaled bytes, in turn."""
    heads, kv_heads, size, block = 32, 8, 64, 16
    blocks = -(-context // block)
    tables = mx.arange(blocks * sequences).reshape(sequences, blocks)
    q = mx.random.normal((rows * sequences, heads, size))
    slots = mx.arange(blocks * sequences * block)
    k, v = mx.random.normal((2, slots.size, kv_heads, size))
    pools = [
        kv_cache.kv_write(
            kv_cache.make_pool(blocks * sequences, kv_heads, block, size, size, dtype), slots, k, v
        )
        for dtype in (mx.float16, mx.uint8)
    ]
    mx.eval(pools, tables, q)

    def run(pool: mx.array) -> mx.array:
        return paged_attention.paged_attention(
            q,
            pool,
            block_tables=tables,
            query_starts=mx.arange(sequences + 1) * rows,
            context_lens=mx.full((sequences,), context, mx.int32),
            scale=0.125,
        )

    flops = 4 * sequences * heads * size * sum(range(context - rows + 1, context + 1))
    best = [float("inf")] * len(pools)
    for _ in range(7):
        best = [min(t, seconds(partial(run, p), 1)) for t, p in zip(best, pools, strict=True)]
    for pool, took in zip(pools, best, strict=True):
        rate, name = pool.nbytes / took, "int8" if pool.dtype == mx.uint8 else "f16"
        print(
            f"attention {name:4} {sequences:2} x {rows:4} rows, "
            f"context {context:5} {took * 1e3:8.2f} ms {rate / 1e9:6.1f} GB/s "
            f"({rate / bandwidth:4.0%}) {flops / took / 1e9:8.0f} GFLOP/s"
        )
    print(f"          int8 takes {best[1] / best[0]:.2f} of the time of f16")


def main() -> None:
    """Parse arguments and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", default=["Q4_K", "Q6_K", "Q8_0", "affine4_g64", "BF16"])
    parser.add_argument("--rows", default="1,2,4,8,16,128,512")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        backend.set_num_threads(arguments.threads)
    about, bandwidth = backend.describe(), read_bandwidth()
    print(f"{about.isa}, {about.num_threads} threads, memory reads {bandwidth / 1e9:.1f} GB/s")
    for name in arguments.types:
        bench_matmul(name, [int(r) for r in arguments.rows.split(",")], bandwidth)
    for context, rows, sequences in ((2048, 1, 1), (8192, 1, 1), (2048, 1, 8), (2048, 5, 1),
                                     (512, 512, 1), (2048, 512, 1)):  # fmt: skip
        bench_attention(context, rows, sequences, bandwidth)


if __name__ == "__main__":
    main()

"""One call of every kernel for each way MLX may bind its buffers: what snapshots and lint look at.

`python -m tests.metal_shaders.variants` rewrites the snapshot of signatures.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from metal_kernels.metal import grouped_matmul, quantized_matmul
from metal_kernels.metal.block_formats import FORMATS
from metal_kernels.metal.kv_write import kv_write, rope_kv_write
from metal_kernels.metal.paged_attention import paged_attention
from tests.metal_shaders.tracing import GeneratedSource, trace

SNAPSHOT = Path(__file__).parent / "signatures.txt"

Operation = tuple[Callable[..., Any], list[mx.array]]


def _ints(*values: int) -> mx.array:
    return mx.array(values, dtype=mx.int32)


def _write(num_tokens: int) -> Operation:
    def run(pool: mx.array, k: mx.array) -> mx.array:
        return kv_write(pool, mx.arange(num_tokens, dtype=mx.int32), k, k)

    k = mx.zeros((num_tokens, 2, 64), dtype=mx.float16)
    return run, [mx.zeros((4, 2, 16, 128), dtype=mx.float16), k]


def _write_latents() -> Operation:
    """As DeepSeek keeps them: more columns than a threadgroup may have threads."""

    def run(pool: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return kv_write(pool, _ints(3), k, v)

    k, v = (mx.zeros((1, 1, size), dtype=mx.float16) for size in (576, 512))
    return run, [mx.zeros((2, 1, 16, 1088), dtype=mx.float16), k, v]


def _rope_write() -> Operation:
    def run(pool: mx.array, q: mx.array, k: mx.array) -> Any:
        inv_freq = mx.ones((32,))
        return rope_kv_write(pool, _ints(3, 4), q, k, k, _ints(5, 6), inv_freq)

    k = mx.zeros((2, 2, 64), dtype=mx.float16)
    return run, [mx.zeros((4, 2, 16, 128), dtype=mx.float16), mx.zeros((2, 8, 64), mx.float16), k]


def _int8_write() -> Operation:
    def run(pool: mx.array, k: mx.array) -> mx.array:
        return kv_write(pool, _ints(3, 4), k, k)

    k = mx.zeros((2, 2, 64), dtype=mx.float16)
    return run, [mx.zeros((4, 2, 16, 136), dtype=mx.uint8), k]


def _attend(num_rows: int, context: int, num_heads: int = 8, int8: bool = False) -> Operation:
    def run(q: mx.array, pool: mx.array) -> mx.array:
        return paged_attention(
            q,
            pool,
            block_tables=mx.zeros((1, -(-context // 16)), dtype=mx.int32),
            query_starts=_ints(0, num_rows),
            context_lens=_ints(context),
            scale=1.0,
        )

    q = mx.zeros((num_rows, num_heads, 64), dtype=mx.float16)
    pool = mx.zeros((4, 2, 16, 136), mx.uint8) if int8 else mx.zeros((4, 2, 16, 128), mx.float16)
    return run, [q, pool]


def _multiply(quantization: str, num_rows: int, dtype: mx.Dtype = mx.float16) -> Operation:
    form = FORMATS[quantization]
    row_bytes = 512 // form.values * form.bytes
    blocks = mx.zeros((64, row_bytes), dtype=mx.uint8)
    run = partial(quantized_matmul.matmul, quantization=quantization)
    return run, [mx.zeros((num_rows, 512), dtype=dtype), blocks]


def _multiply_many(num_rows: int, *quantizations: str) -> Operation:
    def run(x: mx.array, *blocks: mx.array) -> list[mx.array]:
        matrices = map(quantized_matmul.StoredBlocks, blocks, quantizations)
        return quantized_matmul.matmul_many(x, list(matrices))

    forms = [FORMATS[quantization] for quantization in quantizations]
    blocks = [mx.zeros((64, 512 // form.values * form.bytes), dtype=mx.uint8) for form in forms]
    return run, [mx.zeros((num_rows, 512), dtype=mx.float16), *blocks]


def _choose(num_x: int, repeats: int) -> Operation:
    def run(x: mx.array, blocks: mx.array) -> mx.array:
        ids = mx.zeros((num_x * repeats,), dtype=mx.int32)
        return grouped_matmul.matmul(x, blocks, ids, "Q4_K", 8)

    return run, [mx.zeros((num_x, 512), dtype=mx.float16), mx.zeros((64, 288), dtype=mx.uint8)]


def operations() -> dict[str, Operation]:
    """Functions of arrays, by what they show."""
    made: dict[str, Operation] = {}
    for quantization in FORMATS:
        for num_rows in (1, 9, 33):
            made[f"{quantization}, {num_rows} rows"] = _multiply(quantization, num_rows)
    made["bfloat16"] = _multiply("Q4_K", 2, mx.bfloat16)
    made["float32"] = _multiply("Q4_K", 8, mx.float32)
    made["gate and up"] = _multiply_many(1, "Q4_K", "Q4_K")
    made["queries, keys and values"] = _multiply_many(1, "Q4_K", "Q4_K", "Q6_K")
    made["queries, keys and values, 9 rows"] = _multiply_many(9, "Q4_K", "Q4_K", "Q6_K")
    made["two experts of a token"] = _choose(1, 2)
    made["eight experts of four tokens"] = _choose(4, 8)
    made["write of one token"] = _write(1)
    made["write of eight tokens"] = _write(8)
    made["write of latents"] = _write_latents()
    made["rope and write"] = _rope_write()
    made["short context"] = _attend(1, 100)
    made["table of eight blocks"] = _attend(1, 128)
    made["split context, few heads"] = _attend(1, 2000, num_heads=4)
    made["verify"] = _attend(5, 600)
    made["prefill"] = _attend(40, 200)
    made["int8 write"] = _int8_write()
    made["int8 decode"] = _attend(1, 200, int8=True)
    made["int8 verify"] = _attend(5, 600, int8=True)
    made["int8 prefill"] = _attend(40, 200, int8=True)
    return made


def traced() -> dict[str, list[GeneratedSource]]:
    """What MLX generates for each operation."""
    return {name: trace(run, *arrays) for name, (run, arrays) in operations().items()}


def snapshot(sources: dict[str, list[GeneratedSource]]) -> str:
    """Every signature that MLX gives our bodies, each once."""
    seen: dict[str, str] = {}
    for operation, generated in sources.items():
        for source in generated:
            seen.setdefault(f"{source.signature}\n{source.instance}", f"// {operation}")
    return "\n\n".join(f"{comment}\n{text}" for text, comment in seen.items()) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(traced()))

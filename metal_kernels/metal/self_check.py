"""Compiles every kernel a model needs and compares it with its definition, before it is used.

Shaders are written without a Mac at hand; this is where they first meet the user's. Small inputs:
what takes time is Metal's compiler. Results are kept in a file, by `fingerprint` and needs.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from metal_kernels import reference
from metal_kernels.metal import fence, quantized_matmul, trust
from metal_kernels.metal.block_formats import FORMATS, random_blocks
from metal_kernels.metal.kernel import SHADERS
from metal_kernels.metal.kv_write import kv_write, rope_kv_write
from metal_kernels.metal.paged_attention import MAX_KERNEL_ROWS, paged_attention


class Needs(NamedTuple):
    """What a model will launch."""

    quantizations: frozenset[str]
    dtype: mx.Dtype
    pool_dtype: mx.Dtype
    num_heads: int
    num_kv_heads: int
    head_size: int
    value_size: int
    block_size: int


class CheckResult(NamedTuple):
    """One variant: the kernel it belongs to, and why it failed ("" if it did not)."""

    kernel: str
    variant: str
    reason: str
    seconds: float


Check = tuple[str, str, Callable[[], tuple[mx.array, mx.array]]]
"""Kernel, variant, and a function that returns what came out and what should have."""


def ensure_checked(needs: Needs, results_path: Path) -> list[CheckResult]:
    """Results for these needs on this machine, from the file or from a run that writes it.

    Call it before weights are loaded: a format whose kernels fail is then kept another way.
    """
    key = f"{fingerprint()} {_describe(needs)}"
    known = _read_results(results_path)
    if key in known:
        results = [CheckResult(*entry) for entry in known[key]]
        apply_results(results)
        return results
    results = check_kernels(needs)
    kept = {k: v for k, v in known.items() if k.split()[0] == key.split()[0]}
    results_path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = results_path.with_suffix(f".{os.getpid()}")
    partial_path.write_text(json.dumps({**kept, key: results}))
    partial_path.replace(results_path)
    return results


def _describe(needs: Needs) -> str:
    formats = ",".join(sorted(needs.quantizations & FORMATS.keys()))
    return " ".join([formats, *map(str, needs[1:])])


def _read_results(path: Path) -> dict[str, list[list[Any]]]:
    """Results by fingerprint and needs; none if nobody wrote them or they are damaged."""
    try:
        known = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known if isinstance(known, dict) else {}


def check_kernels(needs: Needs) -> list[CheckResult]:
    """Runs all checks and marks the kernels that fail as broken (see `trust`)."""
    results = [_run(check, needs.dtype) for check in checks(needs)]
    apply_results(results)
    return results


def apply_results(results: list[CheckResult]) -> None:
    """Marks broken what failed in results of an earlier run."""
    for result in results:
        if result.reason:
            trust.mark_broken(result.kernel, f"{result.variant}: {result.reason}")


def fingerprint() -> str:
    """Names all that a result depends on: chip, system, MLX and our shaders."""
    texts = "".join(path.read_text() for path in sorted(SHADERS.rglob("*.metal")))
    chip = mx.device_info().get("device_name", "") if mx.metal.is_available() else ""
    parts = (str(chip), platform.platform(), version("mlx"), texts)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def checks(needs: Needs) -> Iterator[Check]:
    """Every variant a model with these needs can launch."""
    for quantization in sorted(needs.quantizations & FORMATS.keys()):
        yield from _matmul_checks(quantization, needs.dtype)
    yield from _write_checks(needs)
    yield from _attention_checks(needs)


def _run(check: Check, dtype: mx.Dtype) -> CheckResult:
    kernel, variant, function = check
    start = time.perf_counter()
    try:
        actual, expected = function()
        mx.eval(actual, expected)
        reason = _difference(actual, expected, dtype)
    except RuntimeError as error:  # what MLX raises when Metal refuses the text or the launch
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if "error" in line), lines[0])
    return CheckResult(kernel, variant, reason, time.perf_counter() - start)


def _difference(actual: mx.array, expected: mx.array, dtype: mx.Dtype) -> str:
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, not {expected.shape}"
    ours, theirs = (np.array(x.astype(mx.float32)) for x in (actual, expected))
    scale = float(np.abs(theirs).max()) or 1.0
    error = float(np.abs(ours - theirs).max()) / scale
    most = {mx.float16: 4e-3, mx.bfloat16: 3e-2, mx.float32: 1e-4}[dtype]
    return "" if error <= most else f"relative error {error:.1e}, above {most:.0e}"


def _random(*shape: int, dtype: mx.Dtype) -> mx.array:
    rng = np.random.default_rng(sum(shape))
    return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)


def _matmul_checks(quantization: str, dtype: mx.Dtype) -> Iterator[Check]:
    # More than one round of the lanes' stride, and a tail in both directions.
    num_rows, num_columns = 41, 1280
    blocks = random_blocks(quantization, num_rows, num_columns, np.random.default_rng(7))
    stored = mx.array(blocks)
    dense = mx.array(reference.dequantize_blocks(quantization, blocks, num_columns))

    def multiply(num_x: int) -> tuple[mx.array, mx.array]:
        x = _random(num_x, num_columns, dtype=dtype)
        run = (
            quantized_matmul.matvec
            if num_x <= quantized_matmul.MAX_MATVEC_ROWS
            else quantized_matmul.small_matmul
        )
        return run(x, stored, quantization), x.astype(mx.float32) @ dense.T

    def look_up(num_ids: int) -> tuple[mx.array, mx.array]:
        ids = mx.arange(num_ids, dtype=mx.int32) * 3
        return quantized_matmul.take_rows(stored, quantization, ids, dtype), dense[ids]

    for num_x in (1, 2, 3, 4):
        name = quantized_matmul.matvec_kernel(quantization).name
        yield name, f"{num_x} rows", partial(multiply, num_x)
    for num_x in (8, 16, 24, 32):
        name = quantized_matmul.small_kernel(quantization).name
        yield name, f"{num_x} rows", partial(multiply, num_x)
    for num_ids in (1, 12):
        name = quantized_matmul.dequantize_kernel(quantization).name
        yield name, f"{num_ids} rows", partial(look_up, num_ids)


def _write_checks(needs: Needs) -> Iterator[Check]:
    shape = (4, needs.num_kv_heads, needs.block_size, needs.head_size + needs.value_size)

    def make(num_tokens: int) -> tuple[mx.array, mx.array, mx.array, mx.array]:
        pool = mx.zeros(shape, dtype=needs.pool_dtype)
        slots = mx.arange(num_tokens, dtype=mx.int32) * 2 + 1
        k = _random(num_tokens, needs.num_kv_heads, needs.head_size, dtype=needs.dtype)
        v = _random(num_tokens, needs.num_kv_heads, needs.value_size, dtype=needs.dtype)
        mx.eval(pool, slots, k, v)
        return pool, slots, k, v

    def write(num_tokens: int) -> tuple[mx.array, mx.array]:
        pool, slots, k, v = make(num_tokens)
        expected = reference.kv_write(pool + 0, slots, k, v)
        mx.eval(expected, kv_write(pool, slots, k, v))
        return pool, expected

    def rope_write(interleaved: bool) -> tuple[mx.array, mx.array]:
        pool, slots, k, v = make(8)
        q = _random(8, needs.num_heads, needs.head_size, dtype=needs.dtype)
        positions = mx.arange(8, dtype=mx.int32) * 11
        inv_freq = 1.0 / (mx.arange(needs.head_size // 2) + 1.0)
        turned_q, turned_k = (
            reference.rope(x, positions, inv_freq, 1.0, interleaved) for x in (q, k)
        )
        expected = reference.kv_write(pool + 0, slots, turned_k, v)
        turned, _ = rope_kv_write(
            pool, slots, q, k, v, positions, inv_freq, interleaved=interleaved
        )
        mx.eval(turned, expected)
        both = ((turned, pool), (turned_q, expected))
        flat = [[x.reshape(-1).astype(mx.float32) for x in pair] for pair in both]
        actual, wanted = (mx.concatenate(pair) for pair in flat)
        return actual, wanted

    for num_tokens in (1, 8):
        yield "kv_write", f"{num_tokens} tokens", partial(write, num_tokens)
    for interleaved in (False, True):
        variant = "interleaved" if interleaved else "halves"
        yield "rope_kv_write", variant, partial(rope_write, interleaved)


def _attention_checks(needs: Needs) -> Iterator[Check]:
    def attend(context: int, num_rows: int) -> tuple[mx.array, mx.array]:
        num_blocks = -(-context // needs.block_size)
        width = needs.head_size + needs.value_size
        shape = (num_blocks + 1, needs.num_kv_heads, needs.block_size, width)
        pool = _random(*shape, dtype=needs.pool_dtype)
        q = _random(num_rows, needs.num_heads, needs.head_size, dtype=needs.dtype)
        places: dict[str, Any] = {
            "block_tables": mx.arange(num_blocks, 0, -1, dtype=mx.int32)[None],
            "query_starts": mx.array([0, num_rows], dtype=mx.int32),
            "context_lens": mx.array([context], dtype=mx.int32),
            "scale": needs.head_size**-0.5,
        }
        expected = reference.paged_attention(
            q, pool, **places, window=None, sinks=None, soft_cap=None
        )
        return paged_attention(q, pool, **places), expected

    fence.record(mx.zeros((8,)))
    for num_rows in (1, 2, 4, MAX_KERNEL_ROWS):
        for context in (7 * needs.block_size, 8 * needs.block_size, 1300):
            variant = f"{num_rows} rows, {context} tokens"
            yield "paged_attention", variant, partial(attend, context, num_rows)
    rows = MAX_KERNEL_ROWS + 4
    yield "gather_kv", f"{rows} rows", partial(attend, 200, rows)

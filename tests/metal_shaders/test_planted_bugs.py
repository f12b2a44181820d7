"""Mistakes put into the shaders on purpose: the simulator or the comparison notices each."""

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.metal import grouped_matmul, quantized_matmul
from metal_kernels.metal.kv_write import rope_kv_write
from tests.metal_shaders import test_int8_cache as int8_cache
from tests.metal_shaders import test_paged_attention as attention
from tests.metal_shaders import test_quantized_matmul as matmul
from tests.metal_shaders.test_matmul_many import make_matrices


def multiply(quantization, num_columns, num_x, _simulator):
    x, blocks, exact = matmul.make_case(quantization, 21, num_columns, num_x, mx.float32)
    matmul.check(quantized_matmul.matmul(x, blocks, quantization), exact)


def multiply_many(num_x, _simulator):
    x, matrices, exact = make_matrices(("Q4_K", "Q8_0"), (21, 9), 768, num_x, mx.float32)
    for y, product in zip(quantized_matmul.matmul_many(x, matrices), exact, strict=True):
        matmul.check(y, product)


def choose_matrices(_simulator):
    """Three rows with two of four matrices each."""
    x, blocks, _ = matmul.make_case("Q8_0", 4 * 9, 288, 3, mx.float32)
    ids = np.array([2, 0, 3, 1, 1, 3])
    y = grouped_matmul.matvec(x, blocks, mx.array(ids), "Q8_0", 4)
    stack = matmul.weights("Q8_0", np.array(blocks)).reshape(4, 9, 288)[ids]
    wide = np.array(x).astype(np.float64).repeat(2, axis=0)
    matmul.check(y, np.einsum("rnk,rk->rn", stack, wide))


def look_up(_simulator):
    _, blocks, _ = matmul.make_case("Q6_K", 7, 512, 1)
    rows = quantized_matmul.take_rows(blocks, "Q6_K", mx.array([6, 3, 0]), mx.float32)
    matmul.check(rows, matmul.weights("Q6_K", np.array(blocks))[[6, 3, 0]])


def turn_and_write(_simulator):
    """The fourth of five rows only pads; keys are wider than values and turn in part."""
    rng = np.random.default_rng(0)
    pool = mx.zeros((3, 2, 16, 160))
    q, k, v = (
        mx.array(rng.standard_normal(shape).astype(np.float32))
        for shape in ((5, 6, 96), (5, 2, 96), (5, 2, 64))
    )
    slots, positions = mx.array([20, 3, 47, -1, 16]), mx.array([0, 9, 300, 0, 4])
    inv_freq = mx.array(100.0 ** -(np.arange(40) / 40).astype(np.float32))
    turned_q, turned_k = (reference.rope(x, positions, inv_freq, 1.0, False) for x in (q, k))
    expected = reference.kv_write(pool + 0, slots, turned_k, v)
    out, written = rope_kv_write(pool, slots, q, k, v, positions, inv_freq)
    np.testing.assert_allclose(out, turned_q, atol=1e-4)
    np.testing.assert_allclose(written, expected, atol=1e-4)


def attend_int8(simulator):
    int8_cache.test_decode_and_prefill_over_an_int8_pool(lambda **_: simulator, 80, 80)


attend = partial(
    attention.check, attention.Case([70, 300], [1, 3], head_size=80, value_size=80, has_sinks=True)
)
attend_by_matrices = partial(attention.check, attention.Case([70, 300], [1, 3], has_sinks=True))
attend_split = partial(
    attention.check, attention.Case([1100], [1], head_size=80, value_size=80, seed=1)
)
prefill = partial(attention.check, attention.Case([70], [40]))
masked = {"options": {"window": 40, "soft_cap": 5.0}}
attend_masked = partial(
    attention.check,
    attention.Case([70, 300], [1, 3], head_size=80, value_size=80, has_sinks=True, **masked),
)
attend_masked_by_matrices = partial(
    attention.check, attention.Case([70, 300], [1, 3], has_sinks=True, **masked)
)
attend_split_by_matrices = partial(
    attention.check, attention.Case([900, 300], [1, 1], num_heads=16, has_sinks=True, seed=1)
)
multiply_few, multiply_some = (partial(multiply, "Q4_K", 1280, n) for n in (2, 11))
multiply_odd = partial(multiply, "Q8_0", 96, 11)

BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
BUGS: dict[str, tuple[Callable[..., Any], str, str, int]] = {
    "barrier before the merge": (attend, BARRIER, "", 1),
    "barrier after the merge": (attend, BARRIER, "", 2),
    "lane mask of the score": (attend, "ushort(step)", "ushort(step * 2)", 1),
    "lane that keeps a score": (attend, "== turn)", "== turn + 1)", 1),
    "lanes of a value": (attend, "j * 32 + int(lane)", "j * 32 + int(lane ^ 1)", 1),
    "block of the next key": (attend, "my_key / BS", "(my_key + 1) / BS", 1),
    "last key": (attend, "min(chunk + int(lane), end - 1)", "chunk + int(lane)", 1),
    "causal mask": (attend, "key > positions[r]", "key > positions[r] + 1", 1),
    "barrier before the merge, 8x8": (attend_by_matrices, BARRIER, "", 1),
    "barrier after the merge, 8x8": (attend_by_matrices, BARRIER, "", 2),
    "dimensions of a key, 8x8": (attend_by_matrices, "row_at + j * 8)", "row_at + j * 8 + 1)", 1),
    "second key of a lane, 8x8": (attend_by_matrices, "column_at + 1));", "column_at));", 1),
    "key of a value, 8x8": (attend_by_matrices, "ushort(t * 8 + row_at)", "ushort(row_at)", 1),
    "lanes of a row, 8x8": (attend_by_matrices, "ushort(8)", "ushort(4)", 1),
    "lanes of a total, 8x8": (attend_by_matrices, "ushort(8)", "ushort(4)", 2),
    "last key, 8x8": (
        attend_by_matrices,
        "min(chunk + int(lane), end - 1)",
        "chunk + int(lane)",
        1,
    ),
    "causal mask, 8x8": (attend_by_matrices, "key > position ", "key > position + 1 ", 1),
    "rows that are not, 8x8": (attend_by_matrices, " || my_row >= num_rows", "", 1),
    "sequence of a threadgroup": (attend, "in_grid.x * 8", "in_grid.y * 8", 1),
    "rows of a tile": (attend, "min(row0 + r, num_rows - 1)", "row0 + r", 1),
    "window": (attend_masked, "<= positions[r] - window", "< positions[r] - window", 1),
    "soft cap": (attend_masked, "soft_cap * metal::tanh", "metal::tanh", 1),
    "sink in base two": (attend_masked, "* M_LOG2E_F, new_largest", ", new_largest", 1),
    "head of a sink": (attend_masked, "sinks[rows[r] % num_heads]", "sinks[0]", 1),
    "window, 8x8": (attend_masked_by_matrices, "<= position - window", "< position - window", 1),
    "soft cap, 8x8": (attend_masked_by_matrices, "soft_cap * metal::tanh", "metal::tanh", 1),
    "sink, 8x8": (attend_masked_by_matrices, "+ metal::exp2(sink - new_largest)", "", 1),
    "sequence of a threadgroup, 8x8": (attend_by_matrices, "in_grid.x * 8", "in_grid.y * 8", 1),
    "what a stripe gives, 8x8": (attend_by_matrices, "at * 64 + 32 + lane", "at * 64 + lane", 2),
    "sums shrink, 8x8": (attend_by_matrices, "elements()[i] *= shrink", "elements()[i] *= 1.0f", 1),
    "lane that tells a sum, 8x8": (
        attend_split_by_matrices,
        "if (column_at == 0) log_sums",
        "if (row_at == 0) log_sums",
        1,
    ),
    "end of a split, 8x8": (
        attend_split_by_matrices,
        "min(tile[6], start + split_tokens)",
        "tile[6]",
        1,
    ),
    "splits of a sequence": (attend_split_by_matrices, "live_splits[token]", "max_splits", 1),
    "sink of the merge": (
        attend_split_by_matrices,
        "total = metal::exp2(sink - largest)",
        "total = 0.0f",
        1,
    ),
    "start of a split": (attend_split, "int(split) * split_tokens", "int(split) * 256", 1),
    "sums left out of the merge": (attend_split, "s < num_splits", "s < num_splits - 1", 2),
    "columns of the merge": (attend_split, "if (column < DV) out", "out", 1),
    "block of a gathered token": (prefill, "token / BS", "(token + 1) / BS", 1),
    "column of a gathered value": (prefill, "+ part - D / 4]", "+ part]", 1),
    "group of a scale": (attend_int8, "column / Int8Row", "(column + 4) / Int8Row", 1),
    "row of int8 bytes": (attend_int8, "first / group * 2", "first / group", 1),
    "tail rows read": (multiply_few, "min(first_row + r, N - 1)", "first_row + r", 1),
    "tail rows written": (multiply_few, " && first_row + r < N", "", 1),
    "lane stride": (multiply_few, "s += 32", "s += 31", 1),
    "block of a row": (
        multiply_few,
        "ulong(row) * num_blocks + block",
        "ulong(row) * num_blocks",
        1,
    ),
    "barrier before the sums": (multiply_some, BARRIER, "", 1),
    "lane of a fragment": (multiply_some, "(lane / 4 & 4)", "(lane / 4 & 2)", 1),
    "rows of x that are not": (
        multiply_some,
        "min(m * 8 + column + i, M - 1)",
        "(m * 8 + column + i)",
        1,
    ),
    "slices that are not": (multiply_odd, "exists ? scales[run] : 0.0f", "scales[run]", 1),
    "outputs that are not": (multiply_some, "first_output + n >= N || ", "", 1),
    "the second matrix": (partial(multiply_many, 3), "group -= num_groups;", "group -= 1;", 1),
    "the second matrix, 8x8": (partial(multiply_many, 6), "group -= num_groups;", "group -= 1;", 1),
    "rows of the first matrix": (partial(multiply_many, 3), "sizes[1 + i]", "sizes[1]", 1),
    "rows of the first matrix, 8x8": (partial(multiply_many, 6), "sizes[2 + i]", "sizes[2]", 1),
    "threadgroups of a matrix": (
        partial(multiply_many, 3),
        "(N + R * SIMDGROUPS - 1) / (R * SIMDGROUPS)",
        "N / (R * SIMDGROUPS)",
        1,
    ),
    "threadgroups of a matrix, 8x8": (
        partial(multiply_many, 6),
        "(N + NT * 8 - 1) / (NT * 8)",
        "N / (NT * 8)",
        1,
    ),
    "formats of a joint launch": (partial(multiply_many, 3), "Q8_0 Blocks1", "Q4_K Blocks1", 1),
    "matrix of a row": (choose_matrices, "ulong(ids[r])", "ulong(ids[0])", 1),
    "row of a choice": (choose_matrices, "ulong(r / repeats)", "ulong(r)", 1),
    "values of a row": (look_up, "block * Blocks::values", "block * (Blocks::values - 8)", 1),
    "partner of a pair": (turn_and_write, "first + num_pairs", "first + num_pairs + 1", 1),
    "sense of a turn": (turn_and_write, "a * sine + b", "a * sine - b", 1),
    "sense of a key's turn": (turn_and_write, "a * sine + b", "a * sine - b", 2),
    "position of a row": (turn_and_write, "positions[token]", "positions[0]", 1),
    "block of a written key": (turn_and_write, "ulong(slot / BS)", "ulong(slot % BS)", 1),
    "head of a written key": (turn_and_write, "head - num_heads", "0 * head", 1),
    "value beside its key": (turn_and_write, "row[D + 2 * pair]", "row[DV + 2 * pair]", 1),
    "rows that only pad": (turn_and_write, "if (slot < 0) return;", "", 1),
    "columns past the value": (turn_and_write, "if (2 * pair < DV)", "", 1),
    "columns past the key": (turn_and_write, "pair < num_pairs", "pair <= num_pairs", 1),
}


def plant(text, old, new, occurrence):
    """`text` with one occurrence of `old` replaced, or all of them for 0."""
    if not occurrence:
        return text.replace(old, new)
    parts = text.split(old)
    if len(parts) <= occurrence:
        return text
    return old.join(parts[:occurrence]) + new + old.join(parts[occurrence:])


@pytest.mark.parametrize("name", BUGS)
@pytest.mark.parametrize("seed", [0, 3])
def test_a_planted_bug_is_caught(simulate, name, seed):
    operation, old, new, occurrence = BUGS[name]
    edited = []

    def edit(text):
        changed = plant(text, old, new, occurrence)
        edited.append(changed != text)
        return changed

    simulator = simulate(seed=seed, edit=edit)
    with pytest.raises(AssertionError):
        operation(simulator)
    assert any(edited)


OPERATIONS = dict.fromkeys(operation for operation, *_ in BUGS.values())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_a_bug_the_same_operations_pass(simulate, operation):
    operation(simulate())


def test_a_permutation_of_lanes_is_no_bug(simulate):
    multiply_few(simulate(edit=lambda text: text.replace("uint s = lane;", "uint s = lane ^ 1;")))

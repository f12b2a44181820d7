"""Mistakes put into the shaders on purpose: the simulator or the comparison notices each."""

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import pytest

from metal_kernels.metal import quantized_matmul
from tests.metal_shaders import test_paged_attention as attention
from tests.metal_shaders import test_quantized_matmul as matmul


def multiply(_simulator):
    x, blocks, exact = matmul.make_case("Q4_K", 21, 1280, 2, mx.float32)
    matmul.check(quantized_matmul.matvec(x, blocks, "Q4_K"), exact)


attend = partial(attention.check, attention.Case([70, 300], [1, 3], has_sinks=True))
attend_split = partial(attention.check, attention.Case([1100], [1], seed=1))

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
    "start of a split": (attend_split, "int(split) * split_tokens", "int(split) * 256", 1),
    "sums left out of the merge": (attend_split, "s < num_splits", "s < num_splits - 1", 2),
    "tail rows read": (multiply, "min(first_row + r, N - 1)", "first_row + r", 1),
    "tail rows written": (multiply, " && first_row + r < N", "", 1),
    "lanes of a slice": (multiply, "uint s = lane;", "uint s = lane ^ 1;", 0),
    "lane stride": (multiply, "s += 32", "s += 31", 1),
}


def plant(text, old, new, occurrence):
    """`text` with one occurrence of `old` replaced, or all of them for 0."""
    if not occurrence:
        return text.replace(old, new)
    parts = text.split(old)
    if len(parts) <= occurrence:
        return text
    return old.join(parts[:occurrence]) + new + old.join(parts[occurrence:])


@pytest.mark.parametrize("name", [name for name in BUGS if name != "lanes of a slice"])
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


@pytest.mark.parametrize("operation", [attend, attend_split, multiply])
def test_without_a_bug_the_same_operations_pass(simulate, operation):
    operation(simulate())


def test_a_permutation_of_lanes_is_no_bug(simulate):
    operation, old, new, occurrence = BUGS["lanes of a slice"]
    operation(simulate(edit=lambda text: plant(text, old, new, occurrence)))

"""Weights to GGUF blocks: C++ against the definition, the definition against what is known."""

import numpy as np
import pytest

from metal_kernels import backend, quantize_reference, reference
from metal_kernels.quantize import QUANTIZE_TYPES, quantize_blocks

needs_cpu = pytest.mark.skipif(backend.backend() != "cpu", reason="needs the CPU kernels")
NAMES = sorted(QUANTIZE_TYPES)
MAX_ERROR = {
    "Q2_K": 0.28,
    "Q3_K": 0.16,
    "Q4_0": 0.09,
    "Q4_1": 0.08,
    "Q4_K": 0.075,
    "Q5_0": 0.045,
    "Q5_1": 0.04,
    "Q5_K": 0.038,
    "Q6_K": 0.02,
    "Q8_0": 0.006,
}
"""Root mean square of the error on normal weights, in units of theirs."""


def columns_of(name):
    return 256 * 3 if name.endswith("_K") else 32 * 5


def odd_values(name, rows=37):
    """Rows of every unpleasant kind among normal ones."""
    rng = np.random.default_rng(4)
    values = rng.normal(0, 0.1, (rows, columns_of(name))).astype(np.float32)
    values[1] = 0
    values[2] = 1.5
    values[3] = -1.5
    values[4] = np.abs(values[4])
    values[5, ::7] *= 100
    values[6] *= 1e-6
    values[7] = 0
    values[7, 11] = 3
    values[8] = np.float32(1e-38)
    values[9] -= 5
    return values


def importance_of(name):
    importance = np.random.default_rng(5).gamma(0.5, 1, columns_of(name)).astype(np.float32)
    importance[:32] = 0
    return importance


def as_source(values, source_type):
    if source_type == "F16":
        return values.astype(np.float16).view(np.uint8)
    if source_type == "BF16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    return values.view(np.uint8)


@needs_cpu
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("source_type", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("name", NAMES)
def test_the_kernels_give_the_bits_of_the_definition(name, source_type, weighted):
    source = as_source(odd_values(name), source_type)
    importance = importance_of(name) if weighted else None
    values = reference.dequantize_blocks(source_type, source, columns_of(name))
    expected = quantize_reference.quantize(name, values, importance)
    found = quantize_blocks(name, source, source_type, columns_of(name), importance)
    np.testing.assert_array_equal(found, expected)


@needs_cpu
@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
@pytest.mark.parametrize("name", NAMES)
def test_every_instruction_set_gives_the_same_blocks(name, isa):
    values = odd_values(name)
    expected = quantize_blocks(name, values.view(np.uint8), "F32", columns_of(name))
    before = backend.describe().isa
    if not backend.cpu.choose_isa(isa):
        backend.cpu.choose_isa(before)
        pytest.skip(f"this processor has no {isa}")
    try:
        found = quantize_blocks(name, values.view(np.uint8), "F32", columns_of(name))
    finally:
        backend.cpu.choose_isa(before)
    np.testing.assert_array_equal(found, expected)


@needs_cpu
@pytest.mark.usefixtures("restored_threads")
def test_the_number_of_threads_and_of_rows_does_not_matter():
    values = odd_values("Q4_K", rows=301)
    together = quantize_blocks("Q4_K", values.view(np.uint8), "F32", values.shape[1])
    backend.set_num_threads(1)
    for rows in (slice(0, 1), slice(5, 38), slice(300, 301)):
        alone = quantize_blocks("Q4_K", values[rows].view(np.uint8), "F32", values.shape[1])
        np.testing.assert_array_equal(alone, together[rows])


@pytest.mark.parametrize("name", NAMES)
def test_normal_weights_come_back_as_near_as_the_bits_allow(name):
    values = np.random.default_rng(1).normal(0, 1, (64, 1024)).astype(np.float32)
    blocks = quantize_reference.quantize(name, values, None)
    back = reference.dequantize_blocks(name, blocks, 1024)
    error = float(np.sqrt(np.mean((back - values) ** 2)))
    assert error < MAX_ERROR[name]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Q8_0"])
def test_important_columns_come_back_nearer(name):
    values = np.random.default_rng(1).normal(0, 1, (64, 1024)).astype(np.float32)
    importance = np.where(np.arange(1024) % 8 == 0, 50.0, 0.1).astype(np.float32)
    errors = []
    for weights in (None, importance):
        blocks = quantize_reference.quantize(name, values, weights)
        back = reference.dequantize_blocks(name, blocks, 1024)
        errors.append(float(np.sqrt(np.mean((back - values)[:, ::8] ** 2))))
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_blocks_can_hold_comes_back_exactly(name):
    columns = columns_of(name)
    for constant in (0.0, -0.5):
        values = np.full((3, columns), constant, np.float32)
        blocks = quantize_reference.quantize(name, values, None)
        back = reference.dequantize_blocks(name, blocks, columns)
        np.testing.assert_allclose(back, values, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_that_is_not_a_number_is_refused(name):
    values = odd_values(name)
    values[3, 5] = np.nan
    with pytest.raises(ValueError, match="finite"):
        quantize_blocks(name, values.view(np.uint8), "F32", columns_of(name))
    with pytest.raises(ValueError, match="finite"):
        quantize_reference.quantize(name, values, None)


def test_a_quantized_source_is_quantized_from_what_it_stands_for():
    values = odd_values("Q4_K")
    stored = quantize_blocks("Q8_0", values.view(np.uint8), "F32", values.shape[1])
    dense = reference.dequantize_blocks("Q8_0", stored, values.shape[1])
    found = quantize_blocks("Q4_K", stored, "Q8_0", values.shape[1])
    expected = quantize_blocks("Q4_K", dense.view(np.uint8), "F32", values.shape[1])
    np.testing.assert_array_equal(found, expected)

"""Products in which each row meets the matrix its id names, against the matrices one by one."""

import mlx.core as mx
import numpy as np
import pytest
from random_blocks import BLOCK_TYPES, DENSE_TYPES, random_blocks

from metal_kernels import backend, grouped, quantized, reference

NUM_MATRICES, NUM_ROWS = 5, 37


def columns_of(name):
    if name in DENSE_TYPES:
        return 51
    return 768 if name.endswith("_K") or name == "IQ4_XS" else 1056


def make_stack(name):
    blocks = random_blocks(name, NUM_MATRICES * NUM_ROWS, columns_of(name))
    blocks = blocks.reshape(NUM_MATRICES, NUM_ROWS, -1)
    return blocks, grouped.load_blocks(name, blocks, columns_of(name))


def random_ids(count, seed=0):
    return mx.array(np.random.default_rng(seed).integers(0, NUM_MATRICES, count), mx.int32)


@pytest.mark.parametrize("rows", [1, 2, 7, 40, 200])
@pytest.mark.parametrize("name", [*BLOCK_TYPES, *DENSE_TYPES])
def test_each_row_is_the_product_with_its_own_matrix(name, rows):
    """To the last bit: the kernels are those of one matrix."""
    blocks, stack = make_stack(name)
    x = mx.random.normal((rows, columns_of(name)), key=mx.random.key(rows))
    ids = random_ids(rows)
    y = np.array(grouped.matmul(x, stack, ids))
    for e in range(NUM_MATRICES):
        chosen = np.flatnonzero(np.array(ids) == e)
        if chosen.size:
            matrix = quantized.load_blocks(name, blocks[e], columns_of(name))
            expected = quantized.matmul(x[mx.array(chosen)], matrix)
            np.testing.assert_array_equal(y[chosen], np.array(expected))


@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "MXFP4", "F16", "F32"])
def test_the_product_is_that_of_the_definition(name):
    _, stack = make_stack(name)
    x = mx.random.normal((13, columns_of(name)), key=mx.random.key(1))
    ids = random_ids(39, seed=2)
    expected = reference.grouped_matmul(x, grouped.dequantize(stack), ids)
    error = np.array(grouped.matmul(x, stack, ids) - expected)
    assert np.abs(error).max() < 1e-4 * np.abs(np.array(expected)).max()


@pytest.mark.parametrize("name", ["Q4_K", "F16", "F32"])
def test_a_row_of_x_meets_several_matrices(name):
    _, stack = make_stack(name)
    x = mx.random.normal((6, columns_of(name)), key=mx.random.key(1))
    ids = random_ids(24)
    expected = grouped.matmul(mx.repeat(x, 4, axis=0), stack, ids)
    assert mx.array_equal(grouped.matmul(x, stack, ids), expected)


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("name", ["Q4_K", "Q6_K", "Q8_0", "IQ4_NL", "F16", "BF16", "F32"])
def test_rows_do_not_depend_on_their_company_or_on_threads(name):
    _, stack = make_stack(name)
    x = mx.random.normal((90, columns_of(name)), key=mx.random.key(3))
    ids = random_ids(90)
    backend.set_num_threads(1)
    alone = [np.array(grouped.matmul(x[i : i + 1], stack, ids[i : i + 1]))[0] for i in range(90)]
    backend.set_num_threads(2)
    for count in (2, 17, 90):
        together = np.array(grouped.matmul(x[:count], stack, ids[:count]))
        np.testing.assert_array_equal(together, np.stack(alone[:count]))


@pytest.mark.parametrize(("bits", "group_size"), [(2, 32), (3, 64), (4, 64), (6, 32), (8, 128)])
def test_affine_stacks_mean_what_mlx_says(bits, group_size):
    weights = mx.random.normal((NUM_MATRICES, NUM_ROWS, 384), key=mx.random.key(bits))
    parts = mx.quantize(weights.astype(mx.bfloat16), group_size, bits)
    wide = [parts[0], parts[1].astype(mx.float32), parts[2].astype(mx.float32)]
    dense = mx.dequantize(*wide, group_size, bits)
    stack = grouped.load_affine(*parts, group_size=group_size, bits=bits)
    np.testing.assert_allclose(
        np.array(grouped.dequantize(stack)), np.array(dense), rtol=1e-5, atol=1e-6
    )
    x = mx.random.normal((33, 384), key=mx.random.key(2))
    expected = np.array(reference.grouped_matmul(x, dense, random_ids(33)))
    error = np.abs(np.array(grouped.matmul(x, stack, random_ids(33))) - expected)
    assert error.max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "F16"])
def test_the_transposed_product_is_the_gradient(name):
    _, stack = make_stack(name)
    y = mx.random.normal((21, NUM_ROWS), key=mx.random.key(4))
    ids = random_ids(21)
    dense = grouped.dequantize(stack)
    expected = mx.stack([y[i] @ dense[e] for i, e in enumerate(np.array(ids).tolist())])
    error = np.array(grouped.matmul_transposed(y, stack, ids) - expected)
    assert np.abs(error).max() < 1e-4 * np.abs(np.array(expected)).max()


def test_blocks_may_be_rows_of_a_larger_stack():
    """Gate and up projections may lie in one tensor."""
    blocks = random_blocks("Q4_K", NUM_MATRICES * 64, 256).reshape(NUM_MATRICES, 64, -1)
    x = mx.random.normal((9, 256), key=mx.random.key(5))
    whole = grouped.matmul(x, grouped.load_blocks("Q4_K", blocks, 256), random_ids(9))
    for half in (slice(0, 27), slice(27, 64)):
        part = grouped.load_blocks("Q4_K", blocks[:, half], 256)
        assert mx.array_equal(grouped.matmul(x, part, random_ids(9)), whole[:, half])


def test_results_keep_the_dtype_and_no_rows_give_no_rows():
    _, stack = make_stack("Q8_0")
    x = mx.random.normal((3, 1056)).astype(mx.bfloat16)
    assert grouped.matmul(x, stack, random_ids(6)).dtype == mx.bfloat16
    assert grouped.matmul(x[:0], stack, random_ids(0)).shape == (0, NUM_ROWS)


def test_stacks_of_the_wrong_size_are_refused():
    with pytest.raises(ValueError, match="take 288 bytes"):
        grouped.load_blocks("Q4_K", np.zeros((2, 4, 144), np.uint8), 512)
    weight = mx.zeros((2, 4, 32), mx.uint32)
    with pytest.raises(ValueError, match="needs scales"):
        grouped.load_affine(weight, weight, weight, group_size=64, bits=4)

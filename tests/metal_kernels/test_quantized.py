import mlx.core as mx
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize as gguf_dequantize
from random_blocks import BLOCK_TYPES, DENSE_TYPES, random_blocks

from metal_kernels import backend, quantized


def oracle(name, blocks):
    views = {"F32": np.float32, "F16": np.float16}
    data = blocks.view(views.get(name, np.uint8))
    return gguf_dequantize(data, GGMLQuantizationType[name]).astype(np.float32)


def columns_of(name):
    if name in DENSE_TYPES:
        return 51
    return 768 if name.endswith("_K") or name == "IQ4_XS" else 1056


def relative_error(got, expected):
    return np.sqrt(np.mean((np.array(got) - expected) ** 2) / np.mean(expected**2))


@pytest.mark.parametrize("name", BLOCK_TYPES + DENSE_TYPES)
def test_blocks_come_back_as_gguf_py_reads_them(name):
    num_columns = columns_of(name)
    blocks = random_blocks(name, 37, num_columns)
    matrix = quantized.load_blocks(name, blocks, num_columns)
    np.testing.assert_array_equal(np.array(quantized.dequantize(matrix)), oracle(name, blocks))


@pytest.mark.parametrize("rows", [1, 2, 5, 17, 33, 70])
@pytest.mark.parametrize("name", BLOCK_TYPES + DENSE_TYPES)
def test_a_product_is_that_of_the_dequantized_matrix(name, rows):
    num_columns = columns_of(name)
    blocks = random_blocks(name, 37, num_columns)
    matrix = quantized.load_blocks(name, blocks, num_columns)
    x = np.random.default_rng(1).standard_normal((rows, num_columns)).astype(np.float32)
    expected = x.astype(np.float64) @ oracle(name, blocks).T.astype(np.float64)
    assert relative_error(quantized.matmul(mx.array(x), matrix), expected) < 1e-4


@pytest.mark.parametrize("bits", quantized.AFFINE_BITS)
@pytest.mark.parametrize("group_size", quantized.AFFINE_GROUP_SIZES)
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_affine_matrices_mean_what_mlx_says(bits, group_size, dtype):
    weights = mx.random.normal((37, 384), key=mx.random.key(bits)).astype(dtype)
    parts = mx.quantize(weights, group_size, bits)
    wide = [parts[0], parts[1].astype(mx.float32), parts[2].astype(mx.float32)]
    expected = np.array(mx.dequantize(*wide, group_size, bits))
    matrix = quantized.load_affine(*parts, group_size=group_size, bits=bits)
    # MLX may fuse the multiply and the add
    np.testing.assert_allclose(
        np.array(quantized.dequantize(matrix)), expected, rtol=1e-5, atol=1e-6
    )
    x = np.random.default_rng(2).standard_normal((19, 384)).astype(np.float32)
    assert relative_error(quantized.matmul(mx.array(x), matrix), x @ expected.T) < 1e-4


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("name", [*BLOCK_TYPES, *DENSE_TYPES])
def test_a_row_comes_out_the_same_alone_and_in_a_batch(name):
    num_columns = columns_of(name)
    matrix = quantized.load_blocks(name, random_blocks(name, 200, num_columns), num_columns)
    x = mx.random.normal((70, num_columns), key=mx.random.key(3))
    backend.set_num_threads(1)
    alone = [np.array(quantized.matmul(x[i : i + 1], matrix))[0] for i in range(70)]
    backend.set_num_threads(2)
    for count in (2, 3, 5, 8, 16, 17, 70):
        together = np.array(quantized.matmul(x[:count], matrix))
        np.testing.assert_array_equal(together, np.stack(alone[:count]))


def test_results_keep_the_dtype_and_leading_shape_of_x():
    matrix = quantized.load_blocks("Q8_0", random_blocks("Q8_0", 20, 64), 64)
    x = mx.random.normal((2, 3, 64)).astype(mx.bfloat16)
    y = quantized.matmul(x, matrix)
    assert y.shape == (2, 3, 20)
    assert y.dtype == mx.bfloat16
    assert quantized.matmul(x[:, :0], matrix).shape == (2, 0, 20)


def test_a_transposed_view_of_x_is_read_correctly():
    matrix = quantized.load_blocks("F32", random_blocks("F32", 20, 64), 64)
    x = mx.random.normal((64, 5))
    expected = quantized.matmul(mx.contiguous(x.T), matrix)
    assert mx.array_equal(quantized.matmul(x.T, matrix), expected)


def test_rows_are_taken_in_the_order_asked():
    matrix = quantized.load_blocks("Q4_K", random_blocks("Q4_K", 40, 256), 256)
    ids = mx.array([[3, 39], [0, 3]])
    rows = quantized.take_rows(matrix, ids)
    assert rows.shape == (2, 2, 256)
    assert mx.array_equal(rows, quantized.dequantize(matrix)[ids])


def test_zero_rows_and_huge_values_are_handled():
    matrix = quantized.load_blocks("Q6_K", random_blocks("Q6_K", 16, 512), 512)
    x = mx.concatenate([mx.zeros((1, 512)), mx.full((1, 512), 1e30), mx.full((1, 512), 1e-35)])
    y = np.array(quantized.matmul(x, matrix))
    assert not y[0].any()
    assert np.isfinite(y).all()


def test_infinite_inputs_do_not_pass_for_numbers():
    matrix = quantized.load_blocks("Q4_0", random_blocks("Q4_0", 16, 64), 64)
    x = mx.zeros((2, 64))
    x[0, 5] = mx.inf
    y = np.array(quantized.matmul(x, matrix))
    assert not np.isfinite(y[0]).any()
    assert not y[1].any()


def test_blocks_may_be_a_read_only_memory_map(tmp_path):
    blocks = random_blocks("Q4_K", 64, 1024)
    path = tmp_path / "blocks"
    path.write_bytes(b"x" * 100 + blocks.tobytes())
    mapped = np.memmap(path, np.uint8, "r", offset=100, shape=blocks.shape)
    for _ in range(2):
        matrix = quantized.load_blocks("Q4_K", mapped, 1024)
        np.testing.assert_array_equal(
            np.array(quantized.dequantize(matrix)), oracle("Q4_K", blocks)
        )
    np.testing.assert_array_equal(mapped, blocks)


def test_blocks_of_the_wrong_size_are_refused():
    blocks = random_blocks("Q4_K", 4, 256)
    with pytest.raises(ValueError, match="take 288 bytes"):
        quantized.load_blocks("Q4_K", blocks, 512)
    with pytest.raises(ValueError, match="multiple of 256"):
        quantized.load_blocks("Q4_K", blocks, 200)
    with pytest.raises(ValueError, match="unknown quantization Q4_9"):
        quantized.load_blocks("Q4_9", blocks, 256)


def test_packed_matrices_grow_by_no_more_than_six_percent():
    for name in BLOCK_TYPES:
        blocks = random_blocks(name, 64, 1024)
        matrix = quantized.load_blocks(name, blocks, 1024)
        assert matrix.num_bytes <= 1.06 * blocks.nbytes, name


@pytest.mark.parametrize("name", ["F16", "BF16", "F32"])
def test_no_rows_give_no_rows(name: str) -> None:
    size = {"F32": 4}.get(name, 2)
    matrix = quantized.load_blocks(name, np.zeros((64, 256 * size), np.uint8), 256)
    for num_rows in (16, 0, 1, 0):
        assert quantized.matmul(mx.zeros((num_rows, 1, 256)), matrix).shape == (num_rows, 1, 64)

"""The public ops on the Metal path, the GPU being the simulator."""

import mmap
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import quantized, reference, rope, swiglu
from metal_kernels.metal import mapping
from metal_kernels.metal.block_formats import random_blocks
from tests.metal_shaders.blocks import weights


@pytest.mark.parametrize("num_x", [1, 7, 40])
def test_blocks_stay_as_they_are(on_metal, num_x):
    rng = np.random.default_rng(num_x)
    blocks = random_blocks("Q4_K", 33, 512, rng)
    matrix = quantized.load_blocks("Q4_K", blocks, 512)
    assert matrix.num_bytes == blocks.nbytes
    x = mx.array(rng.standard_normal((num_x, 512)).astype(np.float32))
    exact = np.array(x) @ weights("Q4_K", blocks).T
    np.testing.assert_allclose(quantized.matmul(x, matrix), exact, rtol=1e-5, atol=2e-4)
    rows = quantized.take_rows(matrix, mx.array([[5], [32]]))
    np.testing.assert_array_equal(rows[:, 0], weights("Q4_K", blocks)[[5, 32]])
    assert {launch.kernel for launch in on_metal.launches} >= {"dequantize_rows_Q4_K"}


def test_formats_without_a_kernel_go_to_mlx(on_metal):
    x = mx.ones((2, 64))
    values = np.arange(128, dtype=np.float32).reshape(2, 64)
    matrix = quantized.load_blocks("F32", values.view(np.uint8), 64)
    np.testing.assert_allclose(quantized.matmul(x, matrix)[0], values.sum(1))
    assert not on_metal.launches


@pytest.mark.usefixtures("on_metal")
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_rope_is_the_definition(interleaved, scale):
    x, positions = mx.random.normal((3, 2, 64)), mx.array([0, 9, 300])
    inv_freq = 1000.0 ** (-mx.arange(24) / 24)
    ours = rope.rope(x, positions, inv_freq, scale=scale, interleaved=interleaved)
    expected = reference.rope(x, positions, inv_freq, scale, interleaved)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.usefixtures("on_metal")
def test_gates_are_the_definition():
    gate, up = mx.random.normal((3, 40)), mx.random.normal((3, 40))
    for name in ("swiglu", "geglu"):
        ours, expected = (getattr(m, name)(gate, up) for m in (swiglu, reference))
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_a_mapped_file_is_seen_through_any_view(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 400)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    whole = np.frombuffer(mapped, np.uint8)
    part = whole[5000:11400].reshape(100, 64)
    found = mapping.mapping_of(part)
    assert found is not None
    assert found.ctypes.data == whole.ctypes.data
    assert np.array_equal(np.array(mapping.bind(part)), part)
    assert mapping.mapping_of(np.zeros((4, 4), np.uint8)) is None


def test_what_metal_binds_are_whole_pages_of_the_file(tmp_path: Path, monkeypatch) -> None:
    """As on a Mac, where the pages are bound as they are; here they are copied after the checks."""
    contents = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8)
    path = tmp_path / "weights"
    path.write_bytes(contents.tobytes())
    bound = []

    def asarray(pages: np.ndarray, *, copy: bool) -> mx.array:
        assert not copy
        assert pages.ctypes.data % mmap.PAGESIZE == 0
        bound.append(pages)
        return mx.array(pages)

    monkeypatch.setattr(mapping.mx, "asarray", asarray)
    mapped = np.memmap(path, np.uint8, "r")
    for first, rows in ((0, 8), (4096 + 32, 100), (8192, 64), (299_008 - 31_968, 999)):
        part = mapped[first : first + rows * 32].reshape(rows, 32)
        assert np.array_equal(np.array(mapping.bind(part)), part)
    assert len(bound) == 4
    assert all(pages.nbytes % mmap.PAGESIZE == 0 for pages in bound[:-1])
    turned = mapped[: 64 * 32].reshape(64, 32)[np.arange(64)[::-1]]
    assert np.array_equal(np.array(mapping.bind(turned)), turned)
    odd = mapped[8 : 8 + 64 * 32].reshape(64, 32)
    assert np.array_equal(np.array(mapping.bind(odd)), odd)
    assert len(bound) == 4, "rows in another order than the file's are copied, and unaligned ones"

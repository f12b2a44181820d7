import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.rms_norm import add_rms_norm, rms_norm
from metal_kernels.rope import rope
from metal_kernels.swiglu import geglu, swiglu

DTYPES = {mx.float32: 2e-6, mx.float16: 2e-3, mx.bfloat16: 2e-2}


def assert_close(got, expected, dtype):
    assert got.dtype == dtype
    got, expected = (np.array(a.astype(mx.float32)) for a in (got, expected))
    np.testing.assert_allclose(got, expected, rtol=DTYPES[dtype], atol=DTYPES[dtype])


def normal(shape, dtype, seed):
    return (mx.random.normal(shape, key=mx.random.key(seed)) * 2).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 15, 64, 100, 2048])
def test_rms_norm_is_its_definition(dtype, width):
    x, weight = normal((7, width), dtype, 0), normal((width,), dtype, 1)
    assert_close(rms_norm(x, weight, 1e-5), reference.rms_norm(x, weight, 1e-5), dtype)
    total, normed = add_rms_norm(x, x, weight, 1e-5)
    assert_close(total, x + x, dtype)
    assert_close(normed, reference.rms_norm(x + x, weight, 1e-5), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 5), (3, 64), (40, 1001)])
def test_gated_activations_are_their_definitions(dtype, shape):
    gate, up = normal(shape, dtype, 2), normal(shape, dtype, 3)
    assert_close(swiglu(gate, up), reference.swiglu(gate, up), dtype)
    assert_close(geglu(gate, up), reference.geglu(gate, up), dtype)


def test_gates_saturate_without_overflow():
    gate = mx.array([-1000.0, -90.0, 0.0, 90.0, 1000.0])
    expected = [0.0, 0.0, 0.0, 90.0, 1000.0]
    np.testing.assert_allclose(np.array(swiglu(gate, mx.ones(5))), expected, atol=1e-6)
    np.testing.assert_allclose(np.array(geglu(gate, mx.ones(5))), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("size", "half"), [(64, 32), (80, 20), (128, 64), (6, 3)])
def test_rope_turns_the_first_dimensions(dtype, interleaved, size, half):
    x = normal((5, 3, size), dtype, 4)
    positions = mx.array([0, 1, 7, 500, 8000])
    inv_freq = 10000.0 ** (-mx.arange(half) / half)
    options = {"scale": 1.25, "interleaved": interleaved}
    got = rope(x, positions, inv_freq, **options)
    expected = reference.rope(x, positions, inv_freq, **options)
    tolerance = max(DTYPES[dtype], 2e-5)
    got, expected = (np.array(a.astype(mx.float32)) for a in (got, expected))
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(
        got[..., 2 * half :], np.array(x.astype(mx.float32))[..., 2 * half :]
    )

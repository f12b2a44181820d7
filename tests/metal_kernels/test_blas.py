import subprocess
import sys
from pathlib import Path

import pytest

from metal_kernels import blas

needs_bridge = pytest.mark.skipif(not blas._BRIDGE.exists(), reason="the bridge is not built")

PRODUCT = """
import sys
from metal_kernels.blas import use_fast_blas
assert use_fast_blas()
import mlx.core as mx
import numpy as np
a, b = mx.random.normal((70, 33)), mx.random.normal((33, 50))
for x, y in ((a, b), (b.T, a.T), (a[:, ::2], b[::2]), (a[:1], b), (a, mx.contiguous(b.T).T)):
    np.testing.assert_allclose(np.array(x @ y), np.array(x) @ np.array(y), rtol=1e-4, atol=1e-4)
big = mx.random.normal((512, 512))
expected = np.array(big) + np.array(big) @ np.array(big)
np.testing.assert_allclose(np.array(mx.addmm(big, big, big)), expected, rtol=1e-3, atol=1e-2)
maps = open("/proc/self/maps").read()
assert "_sgemm.so" in maps and "openblas" in maps
print("ok")
"""


def run(code):
    root = Path(blas.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root
    )


@needs_bridge
def test_mlx_multiplies_through_the_bridge():
    done = run(PRODUCT)
    assert done.stdout.strip() == "ok", done.stderr


def test_it_refuses_to_come_after_mlx():
    done = run("import mlx.core; from metal_kernels.blas import use_fast_blas; use_fast_blas()")
    assert "must come before mlx is imported" in done.stderr

"""A fast float32 matmul for MLX itself on Linux: numpy's OpenBLAS in place of the reference BLAS.

MLX's Linux wheel multiplies float32 matrices with netlib's BLAS, at a few GFLOP/s. Inference here
does not use it; training does.
"""

import ctypes
import importlib.util
import sys
from pathlib import Path

_BRIDGE = Path(__file__).with_name("_sgemm.so")


def use_fast_blas() -> bool:
    """Route MLX's float32 matmul to OpenBLAS. False where the parts are missing (or not needed).

    Must come before the first `import mlx.core` of the process: RuntimeError otherwise.
    """
    if "mlx.core" in sys.modules:
        raise RuntimeError("use_fast_blas() must come before mlx is imported")
    openblas = _find_openblas()
    if openblas is None or not _BRIDGE.exists():
        return False
    try:
        sgemm = ctypes.CDLL(str(openblas)).scipy_cblas_sgemm64_
        bridge = ctypes.CDLL(str(_BRIDGE), mode=ctypes.RTLD_GLOBAL)
    except (OSError, AttributeError):
        return False
    bridge.localllm_set_sgemm(ctypes.cast(sgemm, ctypes.c_void_p))
    return True


def _find_openblas() -> Path | None:
    """The library that numpy's own wheel brings along."""
    spec = importlib.util.find_spec("numpy")
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return None
    libraries = Path(spec.origin).parent.parent / "numpy.libs"
    return next(iter(sorted(libraries.glob("libscipy_openblas64_*.so"))), None)

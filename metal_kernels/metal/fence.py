"""Orders reads of a pool after the in-place write that precedes them.

MLX tracks hazards by the buffers a kernel declares as outputs. A kernel that writes into one of
its inputs declares none for it, so it also returns a small array, the fence. A later kernel that
takes the fence as an input waits for all writes before it, the pool's included. One GPU stream is
assumed.
"""

import mlx.core as mx

_latest: list[mx.array] = []


def latest() -> mx.array:
    """The fence of the newest write; eight elements, whose values mean nothing."""
    if not _latest:
        record(mx.zeros((8,), dtype=mx.float32))
    return _latest[0]


def record(fence: mx.array) -> None:
    """Let kernels launched from here on wait for the one that returned `fence`."""
    assert fence.shape == (8,)
    _latest[:] = [fence]

"""How fast this machine reads memory, where no table says so."""

from metal_kernels import backend

_READ_BYTES = 1 << 28


def measure_bandwidth_bytes_s() -> float | None:
    """Bytes a second that all threads read together, in a fifth of a second; None on a Mac."""
    if backend.backend() != "cpu":
        return None
    return max(float(backend.cpu.read_bandwidth(_READ_BYTES)) for _ in range(3))

"""Which kernels run: Metal, our C++ ones, or the plain definitions; and with how many threads.

`LOCALLLM_BACKEND` (metal, cpu, reference) and `LOCALLLM_CPU_ISA` (amx, avx512, avx2, scalar)
override the choice, for tests and for finding faults.
"""

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal

import mlx.core as mx

__all__ = [
    "Backend",
    "BackendDescription",
    "backend",
    "cpu",
    "describe",
    "num_threads",
    "set_num_threads",
]

try:
    from metal_kernels import _cpu as cpu

    # Built for another MLX it would load, and then refuse every array.
    cpu.swiglu(mx.zeros(1), mx.zeros(1))
except (ImportError, TypeError) as error:
    cpu = None  # type: ignore[assignment]
    _import_error = str(error)
else:
    _import_error = ""

Backend = Literal["metal", "cpu", "reference"]


@cache
def backend() -> Backend:
    """The kernels every op of this process uses."""
    asked = os.environ.get("LOCALLLM_BACKEND", "")
    available: dict[str, Backend] = {"reference": "reference"}
    if cpu is not None:
        available["cpu"] = "cpu"
    if mx.metal.is_available():
        available["metal"] = "metal"
    if asked:
        if asked not in available:
            raise ValueError(
                f"LOCALLLM_BACKEND={asked} is not available here; "
                f"available: {', '.join(sorted(available))}"
            )
        chosen = available[asked]
    else:
        chosen = available.get("metal") or available.get("cpu") or "reference"
    if chosen == "cpu":
        _choose_isa(os.environ.get("LOCALLLM_CPU_ISA", ""))
    return chosen


def _choose_isa(name: str) -> None:
    if not cpu.choose_isa(name):
        raise ValueError(f"LOCALLLM_CPU_ISA={name} is not available on this processor")


def num_threads() -> int:
    """Threads the CPU kernels work with (the physical cores, unless set)."""
    return cpu.num_threads() if backend() == "cpu" else 1


def set_num_threads(n: int) -> None:
    """Use `n` threads from the next op on; results do not depend on it."""
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, not {n}")
    if backend() == "cpu":
        cpu.set_num_threads(n)


@dataclass(frozen=True)
class BackendDescription:
    """What `localllm doctor` prints about the kernels."""

    backend: Backend
    isa: str
    """Instruction set of the CPU kernels, "" for other back ends."""
    num_threads: int
    slow_because: str
    """Why the slow path runs, "" if it does not."""
    hint: str
    """How to get the fast path, "" if it runs."""


def describe() -> BackendDescription:
    """The choice made, and what would make it better."""
    chosen = backend()
    isa = cpu.isa() if chosen == "cpu" else ""
    because, hint = "", ""
    if chosen == "reference":
        because, hint = _why_slow()
    elif isa == "scalar":
        because = "this processor has no AVX2: the CPU kernels run without vector instructions"
    return BackendDescription(chosen, isa, num_threads(), because, hint)


def _why_slow() -> tuple[str, str]:
    if os.environ.get("LOCALLLM_BACKEND"):
        return "LOCALLLM_BACKEND asks for the reference", "unset LOCALLLM_BACKEND"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"there are no kernels for {sys.platform} on {platform.machine()}", ""
    return (
        f"the compiled CPU kernels did not load ({_import_error})",
        "install a C++20 compiler and CMake (Debian: apt install g++ cmake), "
        "then reinstall localllm",
    )

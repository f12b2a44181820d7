"""Which kernels may run here. A kernel is trusted until a check on this machine finds it broken."""

from collections.abc import Iterator
from contextlib import contextmanager

_broken: dict[str, str] = {}


def works(kernel: str) -> bool:
    """Whether the kernel of this name may be launched."""
    return kernel not in _broken


def mark_broken(kernel: str, reason: str) -> None:
    """Use something else instead of this kernel from here on."""
    _broken.setdefault(kernel, reason)


def broken() -> dict[str, str]:
    """Reasons by kernel, for `doctor`, `ps` and the log."""
    return dict(_broken)


@contextmanager
def avoiding(kernel: str) -> Iterator[None]:
    """Launches go meanwhile as if this kernel were broken: to what would take its place."""
    already = kernel in _broken
    _broken.setdefault(kernel, "avoided")
    try:
        yield
    finally:
        if not already:
            del _broken[kernel]

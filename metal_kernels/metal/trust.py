"""Which kernels may run here. A kernel is trusted until a check on this machine finds it broken."""

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

"""Kills a process, as with kill -9, before the N-th thing that it does to the disk."""

import builtins
import io
import os
from collections.abc import Callable
from typing import Any

STEPS = ("replace", "rename", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "fsync",
         "ftruncate", "pwrite")  # fmt: skip
KILLED = 9


def crash_before(step: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that dies before its disk operation number `step`; whether it died.

    Nothing of the child's runs after that: no `finally`, no buffer is written.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _arm(step)
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"the act failed by itself before step {step}: {code}"
    return code == KILLED


def _arm(step: int) -> None:
    left = step

    def count() -> None:
        nonlocal left
        if left == 0:
            os._exit(KILLED)
        left -= 1

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            count()
            return real(*arguments, **options)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    _arm_open(count)


def _arm_open(count: Callable[[], None]) -> None:
    real_open, real_os_open = io.open, os.open

    def open_counted(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set(mode) & set("wxa+"):
            return real_open(file, mode, *arguments, **options)
        count()
        opened = real_open(file, mode, *arguments, **options)
        count()  # there, and empty
        return opened

    def os_open_counted(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY):
            count()
        return real_os_open(path, flags, *arguments, **options)

    io.open = builtins.open = open_counted
    os.open = os_open_counted

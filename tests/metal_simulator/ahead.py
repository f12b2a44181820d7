"""Compiles ahead: beside a whole run of the suite over an empty cache, a second process runs the
same tests from the last to the first. The two meet, and each kernel is compiled once.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.metal_simulator import build

ROOT = Path(__file__).parents[2]
SUITE = ("tests/metal_shaders", "tests/metal_simulator")
_PARENT = os.getppid()
LEAST_TESTS = 400
"""Fewer are soon done alone."""


class Ahead:
    """The process beside this one, if it is worth one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_whole = False

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        folders = [str(ROOT / folder) for folder in SUITE]
        num_tests = sum(str(item.path).startswith(tuple(folders)) for item in session.items)
        self._is_whole = num_tests >= LEAST_TESTS and not session.config.option.collectonly
        if not self._is_whole or _complete().exists():
            return
        # Its first plugin turns the order around, by `pytest_collection_modifyitems` below.
        options = ["-q", "-p", "no:cacheprovider", "-p", __name__]
        command = ["nice", "-n", "5", sys.executable, "-m", "pytest", *options, *reversed(folders)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @pytest.hookimpl
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._is_whole and exitstatus == 0:
            _complete().touch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """From the last to the first; in the process beside, which loads this file as a plugin."""
    items.reverse()


def pytest_runtest_setup() -> None:
    """There, nothing goes on once the other process has been killed."""
    if os.getppid() != _PARENT:
        pytest.exit("alone")


def is_beside(config: pytest.Config) -> bool:
    """Whether this is the process beside another."""
    return config.pluginmanager.hasplugin(__name__)


def _complete() -> Path:
    """Exists once a whole run has left every object in the cache."""
    return build.cache_dir() / f"{build.digest('whole suite')}.complete"

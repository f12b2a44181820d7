"""A command line that runs in its own process against a home and a daemon address of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

Run = Callable[..., subprocess.CompletedProcess[str]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """`run("list", "--json", env={...}, input="...")`: the finished process, with its texts."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LOCALLLM_")}
    clean |= {"LOCALLLM_HOME": str(home), "LOCALLLM_HOST": f"127.0.0.1:{free_port()}"}

    def run_command(
        *arguments: str, env: dict[str, str] | None = None, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "localllm.py"), *arguments],
            capture_output=True,
            text=True,
            input=input,
            env=clean | (env or {}),
            cwd=tmp_path,
            timeout=60,
        )

    return run_command

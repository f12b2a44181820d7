"""A command line that runs in its own process against a home and a daemon address of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model; its answers mean nothing and are always the same at temperature 0."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    script = ROOT / "scripts" / "make_synthetic_model.py"
    shape = "--layers 2 --width 64 --ffn 128 --heads 4 --kv-heads 2 --head-size 16 --vocab 1024"
    subprocess.run(
        [
            *(sys.executable, script, *shape.split()),
            *("--context", "512", "--quantization", "Q8_0", "--output", path),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of commands that find a running daemon."""
    environment = {
        "LOCALLLM_HOME": str(tmp_path_factory.mktemp("daemon-home")),
        "LOCALLLM_HOST": f"127.0.0.1:{free_port()}",
    }
    process = subprocess.Popen(
        [sys.executable, ROOT / "localllm.py", "serve"],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stderr is not None
        assert b"listening" in process.stderr.readline()
        yield environment
        process.send_signal(signal.SIGINT)
        process.stderr.read()

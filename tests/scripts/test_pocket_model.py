"""A small part of the bundled model's evaluation, through a daemon and its worker."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.pocket.dialogue import Dialogue, user
from scripts.pocket.evaluator import ask

ROOT = Path(__file__).parents[2]
START_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(host: str, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert daemon.poll() is None, "the daemon ended"
        try:
            with urllib.request.urlopen(f"http://{host}/api/version", timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    pytest.fail(f"no answer from the daemon within {START_S} s")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon with an empty library: only the bundled model is there."""
    address = f"127.0.0.1:{free_port()}"
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"LOCALLLM_HOST": address, "LOCALLLM_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, ROOT / "localllm.py", "serve"], env=environment
    ) as daemon:
        try:
            wait_until_up(address, daemon)
            yield address
        finally:
            daemon.terminate()


def test_it_says_who_it_is_and_stops(host: str) -> None:
    reply = ask(host, "pocket", Dialogue([user("Who are you?"), {}]))
    assert "Pocket" in reply["content"]


def test_it_names_the_command_that_downloads_a_model(host: str) -> None:
    reply = ask(host, "pocket", Dialogue([user("How do I download a model?"), {}]))
    assert "localllm pull" in reply["content"]

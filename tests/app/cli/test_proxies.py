"""The way to the Hub: proxies, hosts to reach without, and settings that are of no use."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.models.hub import FakeHub, serving
from tests.models.proxy import proxying
from tests.models.pulling import model

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "org/Tiny-GGUF"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub()) as hub:
        hub.add(NAME, {"T-Q8_0.gguf": model()})
        yield hub


@pytest.fixture
def env(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    """Without the proxies of whoever runs the tests."""
    others = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
    return others | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "",
    }


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_pull_goes_through_the_proxy(
    run: Run, hub: FakeHub, env: dict[str, str], variable: str
) -> None:
    with proxying() as (address, asked):
        done = run("pull", NAME, env=env | {variable: address})
    assert done.returncode == 0, done.stderr
    assert {line.split("/")[2] for line in asked} == {
        origin.removeprefix("http://") for origin in (hub.endpoint, hub.cdn)
    }
    assert len(asked) == len(hub.requests) == 4  # revision, tree, resolve and the content alone


def test_hosts_in_no_proxy_are_reached_without(run: Run, hub: FakeHub, env: dict[str, str]) -> None:
    with proxying() as (address, asked):
        there = {"HTTP_PROXY": address, "NO_PROXY": "127.0.0.1,localhost"}
        done = run("pull", NAME, env=env | there)
    assert done.returncode == 0, done.stderr
    assert asked == []
    assert hub.requests


def test_an_encrypted_hub_is_asked_for_through_a_tunnel(run: Run, env: dict[str, str]) -> None:
    """And what fails there names the proxy, without its password."""
    with proxying() as (address, asked):
        proxy = address.replace("http://", "http://me:secret@")
        there = {"HF_ENDPOINT": "https://hub.invalid", "HTTPS_PROXY": proxy}
        done = run("search", "x", env=env | there)
    assert set(asked) == {"CONNECT hub.invalid:443"}
    assert done.returncode == 9
    assert f"through the proxy {address.removeprefix('http://')}" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x", "http://[::1"])
def test_a_proxy_of_no_use_is_one_clear_error(run: Run, env: dict[str, str], proxy: str) -> None:
    done = run("pull", NAME, env=env | {"ALL_PROXY": proxy})
    assert done.returncode == 2
    assert "the proxy in the environment cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("list", env=env | {"ALL_PROXY": proxy}).returncode == 0

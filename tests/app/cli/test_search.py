"""`search`, `update` and `export` against a Hub stand-in; everything else without a network."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.models.hub import FakeHub, serving
from tests.models.pulling import model

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "org/Tiny-GGUF:Q8_0"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub()) as hub:
        hub.add("org/Tiny-GGUF", {"T-Q8_0.gguf": model(), "T-Q4_K_M.gguf": model(20_000)})
        yield hub


@pytest.fixture
def env(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}


def test_a_search_shows_size_fit_and_downloads(run: Run, env: dict[str, str]) -> None:
    header, row = run("search", "tiny", env=env).stdout.splitlines()
    assert header.split() == ["REPOSITORY", "FORMAT", "QUANTIZATION", "SIZE", "FIT", "DOWNLOADS"]
    assert row.split() == ["org/Tiny-GGUF", "gguf", "Q4_K_M", "20.5", "kB", "fits", "7"]
    (found,) = json.loads(run("search", "tiny", "--json", env=env).stdout)
    assert found["repo"] == "org/Tiny-GGUF"


def test_update_tells_and_applies(run: Run, env: dict[str, str], hub: FakeHub) -> None:
    assert run("pull", NAME, env=env).returncode == 0
    assert "up to date" in run("update", env=env).stdout
    hub.add("org/Tiny-GGUF", {"T-Q8_0.gguf": model(seed=3)})
    assert "newer files, 40" in run("update", NAME, env=env).stdout
    done = run("update", "--apply", env=env)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(run("update", "--json", env=env).stdout)
    assert found["state"] == "current"


def test_an_exported_model_is_a_file(run: Run, env: dict[str, str], tmp_path: Path) -> None:
    assert run("pull", NAME, env=env).returncode == 0
    written = run("export", NAME, "out", env=env).stdout.split()
    assert written == ["out/T-Q8_0.gguf"]
    assert (tmp_path / written[0]).read_bytes() == model()


def test_only_what_must_asks_the_network(
    run: Run, env: dict[str, str], hub: FakeHub, tmp_path: Path
) -> None:
    assert run("pull", NAME, env=env).returncode == 0
    asked = len(hub.requests)
    (tmp_path / "Modelfile").write_text(f"FROM {NAME}\nSYSTEM Hi.")
    for command in (
        *(["list"], ["show", NAME], ["df"], ["df", "--reclaim"], ["dedupe"], ["create", "mine"]),
        *(["cp", NAME, "other"], ["export", NAME, "out"], ["import", "--scan"], ["rm", "other"]),
    ):
        done = run(*command, env=env | {"HOME": str(tmp_path)})
        assert done.returncode == 0, (command, done.stderr)
    assert len(hub.requests) == asked

"""`localllm import`: what other programs have is listed, taken in place and run from there."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import gguf_writer as w
from tests.models.layouts import add_cached_repo, add_lm_studio_model, add_ollama_model

Run = Callable[..., subprocess.CompletedProcess[str]]
GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has models in three other programs."""
    home = tmp_path / "user"
    hub = home / ".cache/huggingface/hub"
    add_cached_repo(hub, "org/T-GGUF", {"T-Q8_0.gguf": GGUF})
    layers = {"model": GGUF, "template": b"{{ shout .Prompt }}"}
    add_ollama_model(home / ".ollama/models", "library/llama3.2:1b", layers)
    add_lm_studio_model(home / ".lmstudio/models", "org/T-GGUF", {"T-Q8_0.gguf": GGUF})
    cleared = dict.fromkeys(("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS"), "")
    return {"HOME": str(home), **cleared}


def test_a_scan_lists_and_all_takes_everything_in_place(run: Run, user: dict[str, str]) -> None:
    listed = json.loads(run("import", "--scan", "--json", env=user).stdout)
    assert [(model["name"], model["place"]) for model in listed] == [
        ("hf.co/org/T-GGUF:Q8_0", "huggingface"),
        ("llama3.2:1b", "ollama"),
        ("org/T-GGUF:Q8_0", "lmstudio"),
    ]
    assert not any(model["in_library"] for model in listed)
    done = run("import", "--all", env=user)
    assert done.returncode == 0, done.stderr
    assert "note: Ollama's chat template is kept and not used" in done.stderr
    assert {row.split()[-1] for row in run("import", "--scan", env=user).stdout.splitlines()} == {
        "LIBRARY", "yes",
    }  # fmt: skip
    names = {model["name"] for model in json.loads(run("list", "--json", env=user).stdout)}
    assert {model["name"] for model in listed} <= names


def test_a_name_that_two_programs_have_must_be_told_apart(run: Run, user: dict[str, str]) -> None:
    done = run("import", "org/T-GGUF:q8_0", env=user)
    assert done.returncode == 2
    assert "hint: choose one with --from" in done.stderr
    assert run("import", "org/T-GGUF:q8_0", "--from", "lmstudio", env=user).returncode == 0


def test_a_path_is_taken_under_a_name_of_ones_own(run: Run, tmp_path: Path) -> None:
    w.write_llama(tmp_path / "some file.gguf")
    done = run("import", "some file.gguf", "--name", "mine:v1", "--move")
    assert done.returncode == 0, done.stderr
    assert "mine:v1 is ready: localllm run mine:v1" in done.stderr
    assert not (tmp_path / "some file.gguf").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "no model named"),
        (["--scan", "x"], 2, "exclude each other"),
        (["--scan", "--name", "x"], 2, "--name needs MODEL"),
        (["lama3.2:1b"], 4, "did you mean llama3.2:1b?"),
        (["./none.gguf"], 4, "no such file"),
    ],
)
def test_what_cannot_be_imported_says_why(
    run: Run, user: dict[str, str], arguments: list[str], code: int, text: str
) -> None:
    done = run("import", *arguments, env=user)
    assert done.returncode == code
    assert text in done.stderr

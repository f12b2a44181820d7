"""`localllm df` and `dedupe` on stores of several programs."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.locations import library_dir
from models.store.dedupe import MIN_BYTES
from models.store.library import Library
from tests.models.layouts import add_lm_studio_model, add_ollama_model
from tests.models.making import add_model

Run = Callable[..., subprocess.CompletedProcess[str]]
BIG = os.urandom(MIN_BYTES)


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "user"
    add_ollama_model(home / ".ollama/models", "library/t:latest", {"model": BIG})
    add_lm_studio_model(home / ".lmstudio/models", "org/T", {"T.gguf": BIG})
    return {"HOME": str(home), "OLLAMA_MODELS": ""}


@pytest.fixture
def library(home: Path) -> Library:
    library = Library(library_dir(home))
    add_model(library, "t", {"m.gguf": BIG})
    library.blobs.write([b"unused" * 1000])
    return library


@pytest.mark.usefixtures("library")
def test_df_shows_models_stores_and_what_can_be_reclaimed(run: Run, user: dict[str, str]) -> None:
    usage = json.loads(run("df", "--json", env=user).stdout)
    own = {model["name"]: model["own_bytes"] for model in usage["models"]}
    assert own["t:latest"] == MIN_BYTES
    assert [store["place"] for store in usage["stores"]] == ["ollama", "lmstudio"]
    assert usage["reclaimable_bytes"] >= 6000
    text = run("df", env=user).stdout
    assert "t:latest" in text
    assert "reclaimable" in text
    assert "freed" in run("df", "--reclaim", env=user).stderr
    assert json.loads(run("df", "--json", env=user).stdout)["reclaimable_bytes"] == 0


def test_dedupe_is_a_dry_run_until_it_is_applied(
    run: Run, user: dict[str, str], library: Library
) -> None:
    dry = run("dedupe", env=user)
    assert "2.1 MB could be freed; `localllm dedupe --apply` merges" in dry.stderr
    assert dry.stdout.count("equal") == 2
    (blob,) = [path for path in (library.root / "blobs").iterdir() if path.stat().st_size > 6000]
    assert blob.stat().st_nlink == 1
    done = json.loads(run("dedupe", "--apply", "--json", env=user).stdout)
    assert [one["how"] for one in done[0]["merges"]] in (["hard link"] * 2, ["clone"] * 2)
    assert [Path(copy).read_bytes() for copy in done[0]["copies"]] == [BIG, BIG]

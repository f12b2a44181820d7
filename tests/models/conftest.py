"""A library in a temporary directory, with helpers that put models into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.store.library import Library
from tests.models.hub import FakeHub, serving
from tests.models.pulling import REPO, model


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library without a bundled model."""
    return Library(tmp_path / "home" / "models", bundled=tmp_path / "no-pocket.gguf")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub stand-in with nothing in it; retries wait for milliseconds."""
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("models.hub.snapshot.RETRY_BASE_S", 0.01)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving(FakeHub()) as server:
        yield server


@pytest.fixture
def content(hub: FakeHub) -> bytes:
    """The Q8_0 file of the repository that the stand-in has."""
    found = model()
    hub.add(REPO, {"README.md": b"hi", "Tiny-Q8_0.gguf": found, "Tiny-Q4_K_M.gguf": model(seed=1)})
    return found

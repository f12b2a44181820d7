"""A library in a temporary directory, with helpers that put models into it."""

from pathlib import Path

import pytest

from models.store import Library


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library without a bundled model."""
    return Library(tmp_path / "home" / "models", bundled=tmp_path / "no-pocket.gguf")

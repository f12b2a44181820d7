"""Where the daemon is that the clients are tried on; `scripts/check_sdks` starts one."""

import os

import pytest

URL = os.environ.get("LOCALLLM_URL", "http://127.0.0.1:11434")
MODEL = os.environ.get("LOCALLLM_MODEL", "pocket")


@pytest.fixture
def url() -> str:
    """The daemon's address."""
    return URL


@pytest.fixture
def model() -> str:
    """The model that is asked."""
    return MODEL

"""`localllm fit` speaks of a file and a name alike."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.models import gguf_writer as w

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_fit_says_whether_and_how_long_a_context(run: Run, tmp_path: Path) -> None:
    w.write_llama(tmp_path / "tiny.gguf")
    text = run("fit", "tiny.gguf").stdout
    assert "fit                fits" in text
    assert "trained context    2,048 tokens" in text
    fit = json.loads(run("fit", "./tiny.gguf", "--json").stdout)
    assert (fit["fit"], fit["trained_tokens"]) == ("fits", 2048)
    assert run("fit", "none").returncode == 4

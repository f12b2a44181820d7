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


def test_fit_plans_for_a_named_machine_without_loading(run: Run, tmp_path: Path) -> None:
    w.write_llama(tmp_path / "tiny.gguf")
    asked = ("--context", "1000", "--parallel", "3", "--chip", "M4 Pro 24GB")
    fit = json.loads(run("fit", "./tiny.gguf", *asked, "--json").stdout)
    assert (fit["chip"], fit["memory_bytes"]) == ("M4 Pro 24GB", 24 << 30)
    plan = fit["plan"]
    assert (plan["context_tokens"], plan["cache_tokens"]) == (1000, 3000)
    assert plan["cache_bytes"] == 3000 * fit["token_bytes"]
    read_bytes = fit["weight_bytes"] + 1500 * fit["token_bytes"]
    assert abs(fit["tokens_s"] - 3 * 273e9 / read_bytes) < 1
    assert "M4 Pro 24GB" in run("fit", "./tiny.gguf", *asked).stdout
    unknown = run("fit", "./tiny.gguf", "--chip", "M9 Giant")
    assert unknown.returncode == 2
    assert "known: M1" in unknown.stderr

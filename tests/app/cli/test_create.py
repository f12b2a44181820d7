"""`localllm create` makes models from Modelfiles."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.models import gguf_writer as w

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_modelfile_beside_its_model_becomes_a_name(run: Run, tmp_path: Path) -> None:
    w.write_llama(tmp_path / "tiny.gguf")
    (tmp_path / "Modelfile").write_text(
        'FROM ./tiny.gguf\nSYSTEM """Be\nbrief."""\nPARAMETER seed 3\nPARAMETER mirostat 1\n'
        "TEMPLATE {{ .Prompt }}\n"
    )
    done = run("create", "mine:v1")
    assert done.returncode == 0, done.stderr
    assert "note: parameter mirostat" in done.stderr
    shown = json.loads(run("show", "mine:v1", "--json").stdout)
    assert (shown["system"], shown["parameters"]) == ("Be\nbrief.", {"seed": 3})
    again = run("create", "other", "-f", "-", input="FROM mine:v1\nSYSTEM Other.")
    assert again.returncode == 0, again.stderr
    assert json.loads(run("show", "other", "--json").stdout)["system"] == "Other."


def test_mistakes_are_named(run: Run, tmp_path: Path) -> None:
    assert "no such Modelfile" in run("create", "x").stderr
    (tmp_path / "Modelfile").write_text("FROM pocket\nPARAMTER seed 1\n")
    done = run("create", "x")
    assert done.returncode == 2
    assert "line 2: unknown instruction 'PARAMTER'" in done.stderr
    assert "hint: Did you mean PARAMETER" in done.stderr
    (tmp_path / "Modelfile").write_text("FROM ./none.gguf\n")
    assert run("create", "x").returncode == 4
    (tmp_path / "Modelfile").write_text("FROM nothing-like-it\n")
    assert run("create", "x").returncode == 4

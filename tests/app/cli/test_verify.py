"""`localllm verify` and the receipt that `show` tells of."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from app.cli.root import Commands
from app.cli.show import show_command
from app.cli.verify import verify_command
from engine.kernel_accuracy import measure_kernels
from models.errors import InvalidInput, InvalidModelFile
from models.files import ModelFiles
from models.formats.gguf import read_gguf
from models.store.file_hashes import check_hashes
from scripts.golden_models import Recipe, write_golden_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path / "home"))
    return tmp_path


def write(path: Path, quantization: str) -> str:
    write_golden_model(path, Recipe("llama", quantization))
    return str(path)


def run(command: Any, *arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    return result.output


def test_a_receipt_says_how_far_a_model_is_from_its_reference(tmp_path: Path) -> None:
    stored = write(tmp_path / "q.gguf", "Q8_0")
    original = write(tmp_path / "f.gguf", "F16")
    found = json.loads(run(verify_command, stored, "--reference", original, "--json"))
    assert found["kernels"]["Q8_0"]["passed"]
    assert found["kernels"]["Q8_0"]["error"] < 1e-3
    compared = found["comparison"]
    assert 0 < compared["kl_mean"] < 0.01
    assert compared["same_top"] > 0.9
    assert compared["perplexity"] == pytest.approx(compared["reference_perplexity"], rel=0.05)
    shown = run(show_command, stored)
    assert "verified" in shown
    assert "KL divergence" in shown
    assert json.loads(run(show_command, stored, "--json"))["receipt"] == found


def test_a_model_of_other_tokens_is_no_reference(tmp_path: Path) -> None:
    stored = write(tmp_path / "q.gguf", "Q8_0")
    other = Path(__file__).parents[2] / "golden" / "architectures" / "llama.gguf"
    with pytest.raises(InvalidInput, match="other tokens"):
        run(verify_command, stored, "--reference", str(other))


def test_a_wrong_kernel_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = read_gguf(Path(write(tmp_path / "q.gguf", "Q8_0")))
    from metal_kernels import quantized

    right = quantized.matmul
    monkeypatch.setattr(quantized, "matmul", lambda x, w: right(x, w) * 1.01)
    assert not measure_kernels(gguf)["Q8_0"]["passed"]


def test_a_blob_that_changed_is_caught(tmp_path: Path) -> None:
    content = np.arange(100, dtype=np.uint8).tobytes()
    name = f"sha256-{hashlib.sha256(content).hexdigest()}"
    (tmp_path / name).write_bytes(content)
    files = ModelFiles("m", "gguf", (tmp_path / name,), None, "0" * 64)
    assert check_hashes(files)[0]["state"] == "as the library knows it"
    (tmp_path / name).write_bytes(content[:-1] + b"x")
    with pytest.raises(InvalidModelFile, match="its name says"):
        check_hashes(files)


def test_the_command_is_listed() -> None:
    assert "verify" in Commands("localllm").list_commands(None)  # type: ignore[arg-type]

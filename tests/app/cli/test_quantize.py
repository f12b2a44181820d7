"""`localllm quantize` and `localllm convert`, from the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.formats.gguf import read_gguf
from tests.app.cli.conftest import ROOT, Run


@pytest.fixture(scope="session")
def f16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("f16") / "Tiny-F16.gguf"
    make(path, "--layers 2 --width 256 --ffn 256 --heads 4 --kv-heads 2 --head-size 64")
    return path


def make(path: Path, shape: str) -> None:
    script = ROOT / "scripts" / "make_synthetic_model.py"
    more = "--vocab 512 --context 300 --quantization F16"
    command: list[str | Path] = [
        sys.executable,
        script,
        *shape.split(),
        *more.split(),
        "--output",
        path,
    ]
    subprocess.run(command, check=True, capture_output=True)


def test_a_quantized_model_is_in_the_library_under_a_tag(run: Run, f16: Path) -> None:
    done = run("quantize", str(f16), "q4_k_m")
    assert done.returncode == 0, done.stderr
    assert "Tiny:Q4_K_M is ready" in done.stderr
    (listed,) = [
        entry for entry in json.loads(run("list", "--json").stdout) if "Tiny" in entry["name"]
    ]
    assert listed["name"] == "Tiny:Q4_K_M"
    assert run("run", "Tiny:Q4_K_M", "x", "--max-tokens", "2").returncode == 0
    again = run("quantize", str(f16), "Q4_K_M")
    assert again.returncode == 2
    assert "--force replaces it" in again.stderr
    assert run("quantize", str(f16), "Q4_K_M", "--force").returncode == 0


def test_calibration_and_perplexity(run: Run, f16: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("tea toast and oats on an inn stoa " * 60)
    options = ("--calibration", str(text), "--save-importance", str(tmp_path / "i.gguf"))
    done = run(
        *("quantize", str(f16), "Q2_K", "-o", "./q2.gguf", "--json", "--perplexity", str(text)),
        *options,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["type"] == "Q2_K"
    assert made["perplexity_before"] > 1
    assert made["perplexity_after"] > 1
    assert made["bits_per_weight"] < 8
    options = ("--importance", str(tmp_path / "i.gguf"), "-o", "./again.gguf")
    assert run("quantize", str(f16), "Q2_K", *options).returncode == 0
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "q2.gguf").read_bytes()
    assert run("quantize", str(f16), "Q2_K", "-o", "./plain.gguf").returncode == 0
    assert (tmp_path / "plain.gguf").read_bytes() != (tmp_path / "q2.gguf").read_bytes()


def test_errors_say_what_to_do(run: Run, f16: Path, model: Path) -> None:
    done = run("quantize", str(f16), "Q4KM")
    assert (done.returncode, "Did you mean Q4_K_M?" in done.stderr) == (2, True)
    done = run("quantize", str(model), "Q4_K_M")
    assert (done.returncode, "--allow-requantize" in done.stderr) == (2, True)
    done = run("quantize", str(f16), "Q4_K_M", "--save-importance", "x")
    assert (done.returncode, "--calibration" in done.stderr) == (2, True)
    done = run("quantize", str(f16), "Q4_K_M", "--perplexity", "nowhere.txt")
    assert (done.returncode, "no such file" in done.stderr) == (4, True)
    done = run("convert", str(f16), "gguff")
    assert (done.returncode, "did you mean gguf?" in done.stderr) == (2, True)
    done = run("convert", str(f16), "gguf")
    assert (done.returncode, "GGUF model already" in done.stderr) == (2, True)
    assert "Tiny" not in run("list").stdout


def test_a_model_goes_to_mlx_and_back(run: Run, f16: Path, tmp_path: Path) -> None:
    assert run("convert", str(f16), "mlx").returncode == 0
    assert run("run", "Tiny:mlx", "x", "--max-tokens", "2").returncode == 0
    done = run("convert", "Tiny:mlx", "gguf", "-o", "./back.gguf")
    assert done.returncode == 0, done.stderr
    before, after = read_gguf(f16), read_gguf(tmp_path / "back.gguf")
    for name in before.tensors:
        assert after.tensor_bytes(name).tobytes() == before.tensor_bytes(name).tobytes(), name
    done = run("quantize", "Tiny:mlx", "mlx-4bit", "-o", "./small/", "--json")
    assert json.loads(done.stdout)["model"] == "./small"
    assert run("run", "./small", "x", "--max-tokens", "2").returncode == 0


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "Large-F16.gguf"
    make(source, "--layers 24 --width 512 --ffn 2048 --heads 8 --kv-heads 8 --head-size 64")
    target = tmp_path / "out" / "large.gguf"
    command = [sys.executable, str(ROOT / "localllm.py"), "quantize", str(source), "Q2_K"]
    command += ["-o", str(target)]
    environment = os.environ | {"LOCALLLM_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not (target.parent.is_dir() and any(target.parent.iterdir())):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        process.communicate()
    assert list(target.parent.iterdir()) == []

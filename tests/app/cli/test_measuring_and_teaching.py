"""`bench`, `finetune` and `doctor` on a tiny model."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.curve import draw_curve

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_bench_measures_all_figures(run: Run, model: Path) -> None:
    size = ("--prompt-tokens", "64", "--gen-tokens", "8", "--batch", "3")
    done = run("bench", str(model), "--json", *size, "--threads", "1", "--repeat", "2")
    result = json.loads(done.stdout)
    for name in ("prefill_tok_s", "decode_tok_s", "batch_decode_tok_s", "ttft_s", "load_s"):
        assert result[name] > 0, name
    assert result["peak_rss_bytes"] > result["weight_bytes"]
    assert (result["prompt_tokens"], result["gen_tokens"], result["batch"]) == (64, 8, 3)


def test_bench_refuses_a_prompt_that_the_model_cannot_hold(run: Run, model: Path) -> None:
    done = run("bench", str(model), "--prompt-tokens", "100000")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_finetune_writes_an_adapter_that_changes_the_answer(
    run: Run, model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"text": "yes yes yes yes"}) + "\n")
    teach = (
        "finetune",
        str(model),
        "--data",
        str(data),
        "--output",
        "adapter",
        "--validation",
        "0",
    )
    done = run(*teach, "--json", "--steps", "40", "--learning-rate", "0.02")
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["step"] for step in steps] == list(range(1, 41))
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    ask = ("run", str(model), "--temperature", "0", "--max-tokens", "8", "yes")
    taught = run(*ask, "--adapter", "adapter")
    assert taught.returncode == 0, taught.stderr
    assert taught.stdout != run(*ask).stdout


@pytest.mark.parametrize(
    ("content", "options", "exit_code", "message"),
    [
        (None, [], 4, "no such file"),
        ("", [], 2, "no examples"),
        ("{", [], 2, "line 1: not JSON"),
        ('{"question": "?"}', [], 2, "line 1: not an example"),
        ('{"text": "a"}', ["--rank", "0"], 2, "rank must be between 1 and 1024"),
    ],
)
def test_finetune_refuses_what_it_cannot_learn_from(
    run: Run,
    model: Path,
    tmp_path: Path,
    content: str | None,
    options: list[str],
    exit_code: int,
    message: str,
) -> None:
    data = tmp_path / "data.jsonl"
    if content is not None:
        data.write_text(content)
    done = run("finetune", str(model), "--data", str(data), "--output", "adapter", *options)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert message in done.stderr.splitlines()[0]


def test_the_curve_falls_with_the_loss_and_survives_a_flat_one() -> None:
    lines = draw_curve([8.0, 4.0, 2.0, 1.0], height=4)
    columns = ["".join(line[-4:][i] for line in lines) for i in range(4)]
    assert [column.count(" ") for column in columns] == sorted(
        column.count(" ") for column in columns
    )
    assert draw_curve([1.0], height=2)[0].startswith("1.00")


def test_doctor_checks_everything_and_says_how_to_mend(run: Run) -> None:
    done = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert set(checks) == {
        "versions",
        "kernels",
        "memory",
        "home",
        "disk",
        "library",
        "daemon",
    }
    assert all(check["fix"] for check in checks.values() if check["state"] == "problem")
    assert done.returncode == any(check["state"] == "problem" for check in checks.values())
    slow = run("doctor", env={"LOCALLLM_BACKEND": "reference"})
    assert "fix: unset LOCALLLM_BACKEND" in slow.stdout
    wrong = run("doctor", "--json", env={"LOCALLLM_BACKEND": "abacus"})
    kernels = next(check for check in json.loads(wrong.stdout) if check["name"] == "kernels")
    assert (kernels["state"], wrong.returncode) == ("problem", 1)

"""`run`, `ps`, `stop` and `serve` with a running daemon and a tiny model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.client import DaemonClient
from app.settings import parse_address

ROOT = Path(__file__).resolve().parents[3]
GREEDY = ("--temperature", "0", "--max-tokens", "12")

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_only_the_answer_is_on_stdout_and_it_is_the_api_s(
    run: Run, model: Path, daemon: dict[str, str]
) -> None:
    done = run("run", str(model), *GREEDY, "--verbose", "Hello", env=daemon)
    body = {
        "model": str(model),
        "messages": [{"role": "user", "content": "Hello"}],
        "options": {"temperature": 0, "num_predict": 12},
    }
    with DaemonClient(*parse_address(daemon["LOCALLLM_HOST"])) as client:
        text = "".join(chunk["message"]["content"] for chunk in client.chat(body))
    assert done.stdout.removesuffix("\n") == text.removesuffix("\n")
    assert "answer:  12 tokens" in done.stderr
    assert "ended by length" in done.stderr


def test_standard_input_is_the_prompt_or_follows_it(
    run: Run, model: Path, daemon: dict[str, str]
) -> None:
    call = ("run", str(model), *GREEDY)
    assert (
        run(*call, "Hello there", env=daemon).stdout
        == run(*call, "Hello", "there", env=daemon).stdout
    )
    piped = run(*call, env=daemon, input="Say:\n\nHello").stdout
    assert piped == run(*call, "Say:", env=daemon, input="Hello").stdout


def test_a_system_prompt_changes_the_answer(run: Run, model: Path, daemon: dict[str, str]) -> None:
    call = ("run", str(model), *GREEDY, "--json", "Hello")
    plain = json.loads(run(*call, env=daemon).stdout)
    told = json.loads(run(*call, "--system", "Speak French.", env=daemon).stdout)
    assert told["prompt_eval_count"] > plain["prompt_eval_count"]
    assert plain["message"]["role"] == "assistant"
    assert plain["eval_count"] == 12


def test_an_answer_follows_the_schema_in_a_file(
    run: Run, model: Path, daemon: dict[str, str], tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["yes", "no"]}')
    done = run("run", str(model), "--format", str(schema), "Is it?", env=daemon)
    assert json.loads(done.stdout) in ("yes", "no")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--format", "missing.json", "x"], 4, "missing.json: no such file"),
        (["--format", "broken.json", "x"], 2, "broken.json: not JSON"),
        (["--format", "list.json", "x"], 2, "a JSON Schema is an object, not list"),
        (["--adapter", "nowhere", "x"], 4, "adapter 'nowhere' not found"),
        (["--keep-alive", "5 parsecs", "x"], 2, "parsecs"),
        (["--stop", "", "--num-ctx", "4", "a prompt of more than four tokens"], 2, "tokens"),
        ([], 2, "no prompt"),
    ],
)
def test_what_cannot_be_done_is_refused(
    run: Run,
    model: Path,
    daemon: dict[str, str],
    tmp_path: Path,
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    done = run("run", str(model), *arguments, env=daemon)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr.splitlines()[0]


def test_a_model_that_is_not_there_ends_with_4(run: Run, daemon: dict[str, str]) -> None:
    done = run("run", "no-such-model", "Hello", env=daemon)
    assert done.returncode == 4
    assert "no-such-model" in done.stderr.splitlines()[0]
    assert "localllm pull" in done.stderr.splitlines()[1]


def test_ctrl_c_ends_an_answer_quietly(model: Path, daemon: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, ROOT / "localllm.py", "run", model, "--max-tokens", "400", "Hello"],
        env=os.environ | daemon,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read().strip() == b""


def test_ps_shows_what_is_loaded_until_it_is_stopped(
    run: Run, model: Path, daemon: dict[str, str]
) -> None:
    run("run", str(model), *GREEDY, "Hello", env=daemon)
    assert len(json.loads(run("ps", "--json", env=daemon).stdout)) == 1
    assert len(run("ps", env=daemon).stdout.splitlines()) == 2
    assert run("stop", str(model), env=daemon).returncode == 0
    deadline = time.monotonic() + 30
    while json.loads(run("ps", "--json", env=daemon).stdout):
        assert time.monotonic() < deadline


def test_without_a_daemon_ps_is_empty_and_stop_says_so(run: Run) -> None:
    done = run("ps", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert "no daemon" in done.stderr
    assert run("stop", "pocket").returncode == 4


def test_a_taken_port_is_named(run: Run, daemon: dict[str, str]) -> None:
    done = run("serve", env=daemon)
    assert done.returncode == 6
    assert daemon["LOCALLLM_HOST"].partition(":")[2] in done.stderr
    assert done.stderr.startswith("error: ")
    assert run("serve", "--host", "0.0.0.0", "--port", "0").returncode == 2


def test_chat_needs_a_terminal(run: Run) -> None:
    done = run("chat")
    assert done.returncode == 2
    assert "localllm run" in done.stderr

"""Which commands there are, and how a wrong call ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import localllm
from app.cli.root import COMMANDS, root
from app.settings import known_variables

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("fastapi", "httpx", "huggingface_hub", "mlx", "mlx_lm", "textual", "transformers")

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").stdout == f"localllm {localllm.__version__}\n"


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["list"], ["run", "-h"]])
def test_quick_commands_load_nothing_heavy(arguments: list[str], home: Path) -> None:
    script = (
        "import sys, localllm\n"
        f"sys.argv = ['localllm', *{arguments!r}]\n"
        "try:\n    localllm.main()\n"
        "except SystemExit:\n    pass\n"
        f"print('loaded', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"LOCALLLM_HOME": str(home), "PATH": ""},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "loaded"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    context = click.Context(root)
    command = root.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.opts[0]}"


def test_short_and_long_help_are_the_same_and_show_the_exit_codes(run: Run) -> None:
    assert run("-h").stdout == run("--help").stdout
    assert "Exit codes:" in run("-h").stdout
    assert "worker" not in run("-h").stdout


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["lst"], "no such command 'lst'", "`localllm list`"),
        (["remove", "x"], "no such command 'remove'", "`localllm rm`"),
        (["finetun"], "no such command 'finetun'", "`localllm finetune`"),
        (["qqqq"], "no such command 'qqqq'", "`localllm -h`"),
        (["--verison"], "no such option --verison", "--version"),
        (["run", "--temprature", "0", "m"], "no such option --temprature", "--temperature"),
        (["run", "--max_tokens", "1", "m"], "no such option --max_tokens", "--max-tokens"),
        (["run", "-q", "m"], "no such option -q", "`localllm run -h`"),
        (["run", "--temperature", "hot", "m"], "'hot' is not a valid float", "`localllm run -h`"),
        (["run", "--top-p", "2", "m"], "2.0 is not in the range 0<=x<=1", "`localllm run -h`"),
        (["run"], "missing argument 'MODEL'", "`localllm run -h`"),
        (["list", "a", "b"], "got unexpected extra argument (b)", "`localllm list -h`"),
    ],
)
def test_a_wrong_call_is_refused_in_two_lines(
    run: Run, arguments: list[str], message: str, hint: str
) -> None:
    done = run(*arguments)
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert second.startswith("hint: ")
    assert hint in second
    assert (done.returncode, done.stdout) == (2, "")


def test_an_unknown_variable_is_refused_with_the_nearest(run: Run) -> None:
    assert "LOCALLLM_KEEP_ALIVE" in known_variables()
    done = run("list", env={"LOCALLLM_KEEPALIVE": "1m"})
    assert done.returncode == 2
    assert "LOCALLLM_KEEP_ALIVE" in done.stderr


def test_a_reader_that_has_gone_ends_the_command_quietly(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, str(ROOT / "localllm.py"), "list", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={"LOCALLLM_HOME": str(home)},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_colour_never_reaches_a_pipe(run: Run) -> None:
    assert "\x1b" not in run("lst").stderr


def test_the_command_reference_is_up_to_date() -> None:
    script = ROOT / "scripts" / "write_command_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""The command `localllm` itself: which commands there are, and how a run of one ends."""

import sys
from importlib import import_module
from typing import Any

import click

import localllm
from app.cli.errors import (
    BROKEN_PIPE,
    INTERRUPTED,
    as_user_error,
    discard_stdout,
    print_error,
)
from app.cli.nearest import nearest
from models.errors import InvalidInput, UserError

COMMANDS = {
    "chat": "chat",
    "run": "run",
    "pull": "pull",
    "search": "search",
    "update": "search",
    "list": "library",
    "show": "show",
    "fit": "fit",
    "cp": "library",
    "rm": "library",
    "import": "importing",
    "create": "create",
    "quantize": "quantize",
    "convert": "convert",
    "export": "library",
    "df": "storage",
    "dedupe": "storage",
    "serve": "serve",
    "service": "service",
    "key": "key",
    "ps": "daemon",
    "stop": "daemon",
    "top": "top",
    "why": "why",
    "finetune": "finetune",
    "bench": "bench",
    "perplexity": "perplexity",
    "verify": "verify",
    "doctor": "doctor",
    "worker": "worker",
}
"""Each command and the module of `app.cli` that holds it; read in the order of `localllm -h`."""

OTHER_TOOLS_SAY = {
    "add": "import",
    "compress": "quantize",
    "delete": "rm",
    "download": "pull",
    "du": "df",
    "find": "search",
    "generate": "run",
    "info": "show",
    "load": "run",
    "lora": "finetune",
    "ls": "list",
    "models": "list",
    "prune": "df",
    "remove": "rm",
    "server": "serve",
    "start": "serve",
    "train": "finetune",
    "unload": "stop",
}

EXIT_CODES = """\b
Exit codes:
  0    done
  1    anything else: a defect in localllm, a problem that doctor found
  2    a value, option or request that cannot be accepted
  3    a model file that is damaged, truncated or of another kind
  4    a model, file or address that does not exist
  5    valid, but not supported
  6    busy: port taken, queue full, not enough memory
  7    the disk, its space or its permissions are in the way
  8    a server wants a token, or the consent of the model's owner
  9    the network, or the server at its other end, does not answer
  130  interrupted with Ctrl-C
  141  the reader of the output has gone"""


class Commands(click.Group):
    """Loads a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that exact name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"app.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; a wrong name is answered with the nearest."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = OTHER_TOOLS_SAY.get(name) or nearest(name, set(COMMANDS) - {"worker"})
            lists = "`localllm -h` lists the commands"
            hint = f"did you mean `localllm {near}`? {lists}" if near else lists
            raise InvalidInput(f"no such command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has left the pipe ends it without a word."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_stdout()
            ctx.exit(BROKEN_PIPE)
        return result


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.version_option(localllm.__version__, "-V", "--version", message="localllm %(version)s")
def root() -> None:
    """Local language models: chat, serve, download and fine-tune, all on this machine.

    MODEL is a name of the library (`localllm list`) or a path: a GGUF file or an MLX directory.
    """


def main() -> None:
    """Run one command and end the process with its exit code."""
    try:
        code = root.main(prog_name="localllm", standalone_mode=False)
    except click.Abort:
        code = INTERRUPTED
    except UserError as error:
        print_error(error)
        code = error.exit_code
    except (click.ClickException, OSError) as error:
        user_error = as_user_error(error)
        print_error(user_error)
        code = user_error.exit_code
    sys.exit(code)

"""How a mistake reaches the user: `error: …` and `hint: …` on stderr, and an exit code."""

import os
import sys

import click

from app.cli.nearest import nearest
from models.errors import InvalidInput, StorageError, UserError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells count."""
BROKEN_PIPE = 141


def print_error(error: UserError) -> None:
    """Write `error` to stderr, coloured only where a person reads it."""
    click.echo(f"{_label('error:', 'red')} {error.message}", err=True)
    if error.hint:
        click.echo(f"{_label('hint:', 'cyan')} {error.hint}", err=True)


def _label(text: str, colour: str) -> str:
    return click.style(text, fg=colour, bold=True) if "NO_COLOR" not in os.environ else text


def as_user_error(error: click.ClickException | OSError) -> UserError:
    """What the argument parser or the system refused, in this product's words."""
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return StorageError(f"{(error.strerror or str(error)).lower()}{place}")
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"no such option {error.option_name}"
    message = message[:1].lower() + message[1:].rstrip(".")
    return InvalidInput(message, hint=_usage_hint(error))


def _usage_hint(error: click.ClickException) -> str | None:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return None
    help_line = f"`{error.ctx.command_path} -h` lists what is accepted"
    if not isinstance(error, click.NoSuchOption):
        return help_line
    options = [
        name
        for parameter in error.ctx.command.get_params(error.ctx)
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in (*parameter.opts, *parameter.secondary_opts)
    ]
    near = nearest(error.option_name, options)
    return f"did you mean {near}? {help_line}" if near else help_line


def discard_stdout() -> None:
    """Send what is still buffered nowhere: the reader of our output has gone."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)

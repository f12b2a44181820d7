"""`localllm doctor`: is everything in order here, and what would make it faster."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from app.cli.arguments import json_option
from app.cli.output import print_json
from app.settings import read_settings

if TYPE_CHECKING:
    from app.cli.checks import Check

_COLOURS = {"ok": "green", "slow": "yellow", "problem": "red"}


@click.command("doctor")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> None:
    """Check this installation.

    Says what works, what is slow or wrong, and how to mend it. Ends with exit code 1 if
    something is wrong.
    """
    from app.cli.checks import run_checks

    checks = run_checks(read_settings())
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            _print_check(check)
    if any(check.state == "problem" for check in checks):
        ctx.exit(1)


def _print_check(check: "Check") -> None:
    state = check.state.ljust(7)
    if "NO_COLOR" not in os.environ:
        state = click.style(state, fg=_COLOURS[check.state])
    click.echo(f"{state}  {check.name.ljust(8)}  {check.found}")
    if check.fix:
        click.echo(f"{'':19}fix: {check.fix}")

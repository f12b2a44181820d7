"""`localllm doctor`: is everything in order here, and what would make it faster."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.arguments import json_option
from app.cli.output import print_json
from app.locations import kernel_checks_file
from app.settings import read_settings

if TYPE_CHECKING:
    from app.cli.checks import Check

_COLOURS = {"ok": "green", "slow": "yellow", "problem": "red"}


@click.command("doctor")
@click.option(
    "--tune", is_flag=True, help="Measure the Metal kernels' layouts here and keep the fastest."
)
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, tune: bool, as_json: bool) -> None:
    """Check this installation.

    Says what works, what is slow or wrong, and how to mend it. Ends with exit code 1 if
    something is wrong.
    """
    from app.cli.checks import run_checks

    settings = read_settings()
    if tune:
        _tune(kernel_checks_file(settings.home), as_json=as_json)
        return
    checks = run_checks(settings)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            _print_check(check)
    if any(check.state == "problem" for check in checks):
        ctx.exit(1)


def _tune(results_path: Path, *, as_json: bool) -> None:
    from engine.kernels import tune_metal_kernels, tuning_file

    def report(values: dict[str, int], seconds: float) -> None:
        click.echo(f"{seconds * 1e3:9.2f} ms  {_assignments(values)}", err=True)

    chosen = tune_metal_kernels(results_path, report)
    if as_json:
        print_json(chosen)
    else:
        click.echo(f"fastest: {_assignments(chosen)}")
        click.echo(f"written to {tuning_file(results_path)}; models loaded from now on use it")


def _assignments(values: dict[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _print_check(check: "Check") -> None:
    state = check.state.ljust(7)
    if "NO_COLOR" not in os.environ:
        state = click.style(state, fg=_COLOURS[check.state])
    click.echo(f"{state}  {check.name.ljust(8)}  {check.found}")
    if check.fix:
        click.echo(f"{'':19}fix: {check.fix}")

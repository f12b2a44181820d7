"""`localllm service`: the daemon started by the system, at each login."""

import click

from app.autostart.install import install, read_status, this_system, uninstall
from app.autostart.unit import make_unit
from app.cli.arguments import json_option
from app.cli.output import print_json
from app.client import DaemonClient
from app.settings import read_settings


@click.group("service")
def service_command() -> None:
    """Have the system run the daemon: at login, and again after a crash.

    A launchd agent on macOS, a systemd user unit on Linux. Neither needs an administrator.
    """


@service_command.command("install")
@click.option("--dry-run", is_flag=True, help="Print the file and change nothing.")
def install_command(dry_run: bool) -> None:
    """Install and start it, with the LOCALLLM_ variables that are set now.

    Run again after a change of them, or after an upgrade: what is right already stays.
    """
    settings = read_settings()
    system, unit = this_system(), make_unit(settings)
    if dry_run:
        click.echo(system.render(unit), nl=False)
        click.echo(f"this would be {system.path}", err=True)
        return
    is_new = install(system, unit)
    click.echo(f"{'installed' if is_new else 'as it was'}: {system.path}", err=True)
    click.echo(f"it starts {system.starts}; its log is {unit.log_file}", err=True)


@service_command.command("status")
@json_option
@click.pass_context
def status_command(ctx: click.Context, as_json: bool) -> None:
    """Say whether it is installed and runs; ends with exit code 1 if it does not run."""
    settings = read_settings()
    unit = make_unit(settings)
    status = read_status(this_system(), unit)
    answers = DaemonClient(*settings.address, timeout_s=2.0).is_up()
    if as_json:
        print_json({**vars(status), "answers": answers, "log_file": unit.log_file})
    else:
        is_stale = status.is_installed and not status.is_current
        stale = "; other than it would be now: `localllm service install`" if is_stale else ""
        at = f"{settings.host}:{settings.port}"
        click.echo(f"file     {status.path if status.is_installed else 'none'}{stale}")
        click.echo(f"process  {'runs' if status.is_running else 'does not run'}")
        click.echo(f"address  {at} {'answers' if answers else 'does not answer'}")
        click.echo(f"log      {unit.log_file}")
    if not status.is_running:
        ctx.exit(1)


@service_command.command("uninstall")
def uninstall_command() -> None:
    """End it and remove its file; models, keys and logs stay."""
    system = this_system()
    was_there = uninstall(system)
    click.echo(f"{'removed' if was_there else 'there was no'} {system.path}", err=True)

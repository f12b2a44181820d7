"""`localllm key`: who may use the daemon."""

from datetime import datetime
from typing import get_args

import click

from app.cli.arguments import json_option
from app.cli.output import format_age, print_json, print_table
from app.keys import Scope, add_key, read_keys, remove_key
from app.locations import keys_file
from app.settings import read_settings


@click.group("key")
def key_command() -> None:
    """Make, list and remove keys for the daemon's APIs.

    As soon as there is one, the daemon asks every client for a key. Clients send it as
    `Authorization: Bearer KEY` or `x-api-key: KEY`; localllm itself takes it from LOCALLLM_API_KEY.
    """


@key_command.command("add")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(get_args(Scope)),
    default="infer",
    show_default=True,
    help="infer: list models and ask them; manage: change the library too.",
)
def add_command(name: str, scope: Scope) -> None:
    """Make a key called NAME and print it. It is shown only once."""
    click.echo(add_key(keys_file(read_settings().home), name, scope))


@key_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the keys by name."""
    keys = read_keys(keys_file(read_settings().home))
    if as_json:
        print_json([{"name": k.name, "scope": k.scope, "created": k.created} for k in keys])
        return
    rows = [(k.name, k.scope, format_age(datetime.fromisoformat(k.created))) for k in keys]
    print_table(("NAME", "SCOPE", "CREATED"), rows)


@key_command.command("rm")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove the key NAME; a running daemon refuses it at once."""
    remove_key(keys_file(read_settings().home), name)
    click.echo(f"the key {name} is removed", err=True)

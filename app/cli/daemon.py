"""`localllm ps` and `localllm stop`: what a running daemon holds in memory."""

from datetime import UTC, datetime
from typing import Any

import click

from app.cli.arguments import json_option, model_argument, model_reference
from app.cli.output import format_duration, print_json, print_table
from app.client import DaemonClient
from app.settings import read_settings
from app.sizes import format_bytes
from models.errors import NotFound


@click.command("ps")
@json_option
def ps_command(as_json: bool) -> None:
    """List the models in the daemon's memory."""
    settings = read_settings()
    loaded = []
    try:
        loaded = DaemonClient(*settings.address, api_key=settings.api_key).ps()
    except NotFound as error:
        click.echo(error.message, err=True)
    if as_json:
        print_json(loaded)
    else:
        headers = ("NAME", "ID", "SIZE", "CONTEXT", "KV", "UNTIL")
        print_table(headers, [_row(model) for model in loaded])
        for model in loaded:
            for replaced in model.get("replaced_kernels", ()):
                click.echo(f"{model['name']}: runs without the kernel {replaced}", err=True)


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    return (
        model["name"],
        model["digest"][:12],
        format_bytes(model["size"]),
        str(model["context_length"]),
        f"{model['kv_type']}, {format_bytes(model['kv_bytes_per_token'])}/token",
        _until(datetime.fromisoformat(model["expires_at"])),
    )


def _until(when: datetime) -> str:
    left_s = (when - datetime.now(UTC)).total_seconds()
    if left_s > 365 * 86400:
        return "forever"
    return f"{format_duration(left_s)} from now" if left_s > 0 else "stopping"


@click.command("stop")
@model_argument
def stop_command(model: str) -> None:
    """Take a model out of the daemon's memory."""
    settings = read_settings()
    client = DaemonClient(*settings.address, api_key=settings.api_key)
    client.unload(model_reference(model, settings))
    click.echo(f"{model} is unloaded", err=True)

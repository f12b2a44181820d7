"""`localllm top`: a live view of what the daemon does."""

import json
import sys
import time
from typing import Any

import click

from app.cli.output import format_duration
from app.client import DaemonClient
from app.settings import read_settings
from app.sizes import format_bytes

MODEL_HEADERS = ("MODEL", "SIZE", "TOK/S", "RUN", "WAIT", "KV", "PREFIX HITS", "DRAFTS", "TOKENS")
REQUEST_HEADERS = ("REQUEST", "MODEL", "STATE", "AGE", "PROMPT", "OUTPUT", "TOK/S")
_SHORT_ID = 12


@click.command("top")
@click.option("--once", is_flag=True, help="Show it once and end, as into a pipe.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Time between two looks.",
)
def top_command(once: bool, as_json: bool, interval: float) -> None:
    """Show models, speed, queue, cache and running requests, live.

    Ctrl-C ends it. Without a terminal it shows the state once, unless --json asks for a stream.
    """
    settings = read_settings()
    client = DaemonClient(*settings.address, timeout_s=10.0, api_key=settings.api_key)
    if as_json:
        _write_lines(client, once, interval)
    elif once or not sys.stdout.isatty():
        click.echo("\n".join(format_top(client.top())))
    else:
        _follow(client, interval)


def _write_lines(client: DaemonClient, once: bool, interval_s: float) -> None:
    while True:
        click.echo(json.dumps(client.top()))
        if once:
            return
        time.sleep(interval_s)


def _follow(client: DaemonClient, interval_s: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def look() -> Text:
        lines = format_top(client.top())
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    console = Console(highlight=False)
    with Live(look(), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            live.update(look(), refresh=True)


def format_top(state: dict[str, Any]) -> list[str]:
    """The view's lines, from the body of `/api/top`."""
    rate = sum(model["output_tokens_per_s"] for model in state["models"])
    lines = [
        f"localllm {state['version']}, up {format_duration(state['uptime_s'])}   "
        f"{rate:.1f} tokens/s   queue {state['queue_depth']} of {state['max_queue']}"
        f"   refused {state['requests_refused']}",
        "",
    ]
    models = [_model_row(model) for model in state["models"]]
    lines += _table(MODEL_HEADERS, models) if models else ["no model is loaded"]
    if state["requests"]:
        rows = [_request_row(each) for each in state["requests"]]
        lines += ["", *_table(REQUEST_HEADERS, rows)]
    return lines


def _model_row(model: dict[str, Any]) -> tuple[str, ...]:
    return (
        model["name"] + ("" if model["loaded"] else " (loading)"),
        format_bytes(model["size_bytes"]),
        f"{model['output_tokens_per_s']:.1f}",
        str(model["running"]),
        str(model["waiting"]),
        _percent(model["kv_use"]),
        _percent(model["prefix_hit_rate"]),
        _percent(model["acceptance"]),
        str(model["output_tokens"]),
    )


def _request_row(each: dict[str, Any]) -> tuple[str, ...]:
    prompt = str(each["prompt_tokens"])
    if each["state"] == "prefill":
        prompt = f"{each['computed_tokens']}/{prompt}"
    rate = each["tokens_per_s"]
    return (
        each["id"][:_SHORT_ID],
        each["model"],
        each["state"],
        f"{each['elapsed_s']:.1f} s",
        prompt,
        str(each["output_tokens"]),
        "" if rate is None else f"{rate:.1f}",
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The first two columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index == 0 or not _is_number(headers[index]) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (headers, *rows)
    ]


def _is_number(header: str) -> bool:
    return header not in ("MODEL", "REQUEST", "STATE")

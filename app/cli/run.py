"""`localllm run`: one prompt, one answer. The answer alone goes to stdout."""

import json
import select
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.answer import collect, print_answer, print_dropped, print_stats
from app.cli.arguments import (
    adapter_option,
    draft_option,
    find_adapter_path,
    json_option,
    kv_type_option,
    model_argument,
    model_reference,
    number_option,
    optional_reference,
)
from app.cli.output import print_json
from app.durations import FOREVER, parse_seconds
from app.private_daemon import connect_or_start
from app.settings import read_settings
from models.errors import InvalidInput, NotFound

_OVERFLOW = {
    "error": {"truncate": False},
    "drop": {"truncate": True},
    "shift": {"truncate": False, "shift": True},
}

_PATIENCE_S = 1.0
"""How long an open pipe may stay silent before the user is told what we wait for."""


@click.command("run")
@model_argument
@click.argument("prompt", nargs=-1)
@click.option("--system", metavar="TEXT", help="System prompt, instead of the model's own.")
@number_option("--temperature", None, click.FloatRange(0, 100), "0: always the likeliest token.")
@number_option("--top-k", None, click.IntRange(0), "Choose among this many tokens; 0: all.")
@number_option("--top-p", None, click.FloatRange(0, 1), "Choose within this probability mass.")
@number_option("--seed", None, click.INT, "The same seed gives the same answer.")
@number_option("--max-tokens", None, click.IntRange(1), "End the answer after so many tokens.")
@number_option("--num-ctx", None, click.IntRange(1), "Prompt and answer together, in tokens.")
@click.option(
    "--overflow",
    type=click.Choice(["error", "drop", "shift"]),
    help="When the context is full: refuse, drop old turns, or drop what follows the first part.",
)
@click.option("--stop", multiple=True, metavar="TEXT", help="End before TEXT; repeatable.")
@click.option(
    "--format",
    "format_name",
    metavar="json|SCHEMA.json",
    help="Answer in JSON, or in JSON that a JSON Schema file describes.",
)
@adapter_option
@draft_option
@kv_type_option
@click.option("--think/--no-think", default=None, help="For models that can think: do, or do not.")
@click.option("--keep-alive", metavar="TIME", help="Keep the model loaded: 10m, 1h, 0 or -1.")
@click.option("--verbose", is_flag=True, help="Print speed and counts to stderr afterwards.")
@json_option
def run_command(
    model: str, prompt: tuple[str, ...], as_json: bool, verbose: bool, **options: Any
) -> None:
    """Answer one prompt and end.

    Without PROMPT it is read from standard input; with one, what is piped in follows it.
    The answer goes to stdout; thoughts, statistics and errors to stderr.

    \b
    Examples:
      localllm run pocket "What can you do?"
      git diff | localllm run pocket "Write a commit message for this change:"
      localllm run pocket --format json --temperature 0 "Three colours as JSON"
    """
    settings = read_settings()
    name = model_reference(model, settings)
    options["draft"] = optional_reference(options["draft"], settings)
    body = {
        "model": name,
        "messages": _messages(options["system"], _read_prompt(prompt)),
        **_request_fields(options, find_adapter_path(options["adapter"], settings)),
    }
    is_plain = "adapter" not in body and not options["draft"] and not options["kv_type"]
    with connect_or_start(settings, name if is_plain else None) as client:
        if as_json:
            print_json(collect(client.chat(body)))
            return
        final = print_answer(client.chat(body))
    print_dropped(final)
    if verbose:
        print_stats(final)


def _read_prompt(words: tuple[str, ...]) -> str:
    prompt = " ".join(words)
    piped = _read_piped()
    text = f"{prompt}\n\n{piped}" if prompt and piped else prompt or piped
    if not text:
        raise InvalidInput(
            "no prompt: none was given and nothing was piped in",
            hint='`localllm run MODEL "PROMPT"`; for a conversation: `localllm chat`',
        )
    return text


def _read_piped() -> str:
    """What stands in standard input, unless that is a terminal or blank."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    if not select.select([sys.stdin], [], [], _PATIENCE_S)[0]:
        click.echo("waiting for standard input to end (`< /dev/null`: there is none)", err=True)
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is not UTF-8 text: {error}") from None
    return text if text.strip() else ""


def _messages(system: str | None, prompt: str) -> list[dict[str, str]]:
    turns = [{"role": "user", "content": prompt}]
    return turns if system is None else [{"role": "system", "content": system}, *turns]


def _request_fields(given: Mapping[str, Any], adapter: Path | None) -> dict[str, Any]:
    """The rest of an `/api/chat` body; what was not given is left to the model's defaults."""
    sampling = {
        "temperature": given["temperature"],
        "top_k": given["top_k"],
        "top_p": given["top_p"],
        "seed": given["seed"],
        "num_predict": given["max_tokens"],
        "num_ctx": given["num_ctx"],
        "draft": given["draft"],
        "kv_type": given["kv_type"],
        "stop": list(given["stop"]) or None,
    }
    fields = {
        "options": {name: value for name, value in sampling.items() if value is not None},
        "format": _read_format(given["format_name"]),
        "adapter": None if adapter is None else str(adapter),
        "think": given["think"],
        **_OVERFLOW.get(given["overflow"], {}),
        "keep_alive": _keep_alive(given["keep_alive"]),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _read_format(name: str | None) -> Any:
    """`json`, or the schema in a file."""
    if name is None or name == "json":
        return name
    try:
        schema = json.loads(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(
            f"{name}: no such file", hint="--format takes `json` or the path of a JSON Schema"
        ) from None
    except ValueError as error:
        raise InvalidInput(f"{name}: not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidInput(f"{name}: a JSON Schema is an object, not {type(schema).__name__}")
    return schema


def _keep_alive(text: str | None) -> float | None:
    """Seconds, as the daemon takes them; -1 means for ever."""
    if text is None:
        return None
    seconds = parse_seconds(text)
    return -1 if seconds == FOREVER else seconds

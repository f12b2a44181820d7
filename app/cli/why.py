"""`localllm why`: how much of a request's prompt was reused, and where it left earlier ones."""

from typing import Any

import click

from app.cli.arguments import json_option
from app.cli.output import print_json
from app.client import DaemonClient
from app.settings import read_settings

_CAUSES = {
    "reused": "all that it shares with an earlier prompt was reused",
    "first": "no earlier prompt begins like it",
    "scored": "log-probabilities of the prompt were asked for, so all of it was computed",
    "unfinished": "the earlier prompt was not computed yet, or was never computed to its end",
    "evicted": "the earlier prompt's keys and values had been given away for others",
}


@click.command("why")
@click.argument("request_id")
@json_option
def why_command(request_id: str, as_json: bool) -> None:
    """Say why a prompt was computed and not found in the cache.

    REQUEST_ID is the header x-request-id of an answer, or the id of a chat completion. Shown is
    the earlier prompt that begins most like it, and the first token that differs. A model knows its
    last 256 requests while it is loaded.
    """
    settings = read_settings()
    found = DaemonClient(*settings.address, api_key=settings.api_key).why(request_id)
    if as_json:
        print_json(found)
        return
    click.echo("\n".join(_describe(found)))


def _describe(found: dict[str, Any]) -> list[str]:
    reused, number = found["num_cached_tokens"], found["num_prompt_tokens"]
    lines = [
        f"model    {found['model']}",
        f"reused   {reused:,} of {number:,} prompt tokens",
        f"cause    {_CAUSES[found['cause']]}",
    ]
    if found["nearest_request_id"] is None:
        return lines
    nearest, shared = found["nearest_request_id"], found["num_shared_tokens"]
    return [
        *lines,
        f"nearest  {nearest}, {shared:,} tokens shared",
        f"shared   …{found['shared_text']!r}",
        f"here     {_follows(found['token'], found['text'])}",
        f"there    {_follows(found['nearest_token'], found['nearest_text'])}",
    ]


def _follows(token: str | None, text: str) -> str:
    """The first token that differs, and the text it begins."""
    return "(the prompt ends)" if token is None else f"token {token!r} in {text!r}…"

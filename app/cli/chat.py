"""`localllm chat`: opens the terminal app."""

import sys

import click

from app.cli.arguments import draft_option, kv_type_option, optional_reference
from app.settings import read_settings
from models.errors import InvalidInput


@click.command("chat")
@click.argument("model", required=False)
@draft_option
@kv_type_option
@click.pass_context
def chat_command(
    ctx: click.Context, model: str | None, draft: str | None, kv_type: str | None
) -> None:
    """Talk to a model in the terminal.

    Without MODEL to the last one, at first to pocket. F1 shows the keys. Chats are kept in
    LOCALLLM_HOME.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(
            "the chat needs a terminal", hint='in scripts: `localllm run MODEL "PROMPT"`'
        )
    settings = read_settings()
    name = optional_reference(model, settings)
    from app.tui.app import run_chat

    options = {"draft": optional_reference(draft, settings), "kv_type": kv_type}
    given = {name: value for name, value in options.items() if value is not None}
    ctx.exit(run_chat(name, settings, given))

"""`localllm serve`: the HTTP daemon in the foreground."""

from dataclasses import replace

import click

from app.cli.arguments import kv_type_option, model_reference, optional_reference
from app.durations import parse_seconds
from app.settings import read_settings
from models.memory_plan import parse_kv_type


@click.command("serve")
@click.option("--host", metavar="ADDRESS", help="Listen there; default: LOCALLLM_HOST.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--allow-remote", is_flag=True, help="Let other machines in without a key.")
@click.option("--preload", metavar="MODEL", help="Load MODEL at the start.")
@click.option(
    "--draft", metavar="MODEL", help="Drafts for every model with the same tokens; LOCALLLM_DRAFT."
)
@kv_type_option
@click.option(
    "--keep-alive", metavar="TIME", help="Unload after so long unused: 10m, 1h, -1: never."
)
@click.option("--private", is_flag=True, hidden=True, help="End with standard input.")
def serve_command(
    host: str | None,
    port: int | None,
    allow_remote: bool,
    preload: str | None,
    draft: str | None,
    kv_type: str | None,
    keep_alive: str | None,
    private: bool,
) -> None:
    """Run the HTTP daemon.

    It speaks the APIs of Ollama, OpenAI and Anthropic. Ctrl-C ends it. LOCALLLM_HOST
    (default 127.0.0.1:11434) names the address.
    """
    settings = read_settings()
    address = (host or settings.host, settings.port if port is None else port)
    settings = replace(settings, address=address)
    if keep_alive is not None:
        settings = replace(settings, keep_alive_s=parse_seconds(keep_alive))
    if draft is not None:
        settings = replace(settings, draft=model_reference(draft, settings))
    if kv_type is not None:
        settings = replace(settings, kv_type=parse_kv_type(kv_type))
    name = optional_reference(preload, settings)
    from app.daemon.serve import serve

    serve(settings, private=private, preload=name, allow_remote=allow_remote)

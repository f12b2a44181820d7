"""`localllm fit`: whether a model fits into this machine's memory, and how long a context does."""

from dataclasses import asdict

import click

from app.cli.arguments import json_option, model_argument, open_library
from app.cli.output import print_json
from app.settings import read_settings
from app.sizes import format_bytes


@click.command("fit")
@model_argument
@json_option
def fit_command(model: str, as_json: bool) -> None:
    """Say whether a model fits into memory, and how long a context fits beside it.

    "fits" leaves other programs room; "tight" may make them swap. The context is what one
    conversation may have; LOCALLLM_CONTEXT_LENGTH limits it.
    """
    from models.details import describe
    from models.fit import fit_context, total_memory_bytes
    from models.resolve import resolve

    files = resolve(model, open_library(read_settings()))
    found = describe(files)
    memory_bytes = total_memory_bytes()
    fit = fit_context(found.total_bytes, found.metadata, memory_bytes)
    if as_json:
        print_json({"name": files.name, "memory_bytes": memory_bytes, **asdict(fit)})
        return
    facts = [
        ("name", files.name),
        ("fit", fit.fit),
        ("weights", format_bytes(fit.weight_bytes)),
        ("memory", format_bytes(memory_bytes)),
        ("cache", f"{format_bytes(1000 * fit.token_bytes)} for 1,000 tokens, at most"),
        ("trained context", f"{fit.trained_tokens:,} tokens"),
        ("context that fits", f"{fit.comfortable_tokens:,} tokens"),
    ]
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        click.echo(f"{label.ljust(width)}  {value}")

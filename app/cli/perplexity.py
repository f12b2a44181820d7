"""`localllm perplexity`: how well a model predicts a text."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.arguments import (
    adapter_option,
    find_adapter_path,
    json_option,
    kv_type_option,
    model_argument,
    number_option,
    open_library,
    read_text,
)
from app.cli.output import print_json
from app.settings import read_settings
from models.memory_plan import parse_kv_type

if TYPE_CHECKING:
    from engine.perplexity import Perplexity


@click.command("perplexity")
@model_argument
@click.argument("file", type=click.Path(path_type=Path))
@number_option("--window", 512, click.IntRange(4), "Tokens of each window.")
@adapter_option
@kv_type_option
@json_option
def perplexity_command(
    model: str, file: Path, window: int, adapter: str | None, kv_type: str | None, as_json: bool
) -> None:
    """Measure how well a model predicts the text in FILE.

    The text is cut into windows; the second half of each is predicted from the tokens before it.
    Lower is better. Only figures of models with the same vocabulary compare.
    """
    from models.resolve import resolve

    text = read_text(file)
    settings = read_settings()
    files = resolve(model, open_library(settings))
    applied = find_adapter_path(adapter, settings) or files.adapter
    from engine.loading import EngineOptions, load_model
    from engine.perplexity import measure_perplexity

    kept = None if kv_type is None else parse_kv_type(kv_type)
    options = EngineOptions(max_context_tokens=window + 1, adapter=applied, kv_type=kept)
    loaded = load_model(files, options)

    def on_window(so_far: "Perplexity", num_windows: int) -> None:
        if not as_json:
            click.echo(
                f"window {so_far.num_windows}/{num_windows}  perplexity {so_far.perplexity:.4f}",
                err=True,
            )

    found = measure_perplexity(loaded, text, window, on_window)
    if as_json:
        print_json({"model": files.name, "window_tokens": window, **asdict(found)})
    else:
        click.echo(f"{found.perplexity:.4f} +- {found.standard_error:.4f}")

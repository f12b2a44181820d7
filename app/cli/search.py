"""`localllm search` and `localllm update`: what the Hugging Face Hub has."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from app.cli.arguments import json_option, number_option, open_library
from app.cli.output import print_json, print_table
from app.cli.pull import progress_display
from app.settings import read_settings
from app.sizes import format_bytes
from models.errors import UserError
from models.name import ModelName
from models.store.library import Library
from models.store.manifest import Manifest

if TYPE_CHECKING:
    from models.hub.search import SearchResult
    from models.hub.update import Update

NUM_REQUESTS = 4
_STATES = {
    "current": "up to date",
    "own": "not from the Hub as it is",
}


@click.command("search")
@click.argument("words", nargs=-1, required=True)
@number_option("--limit", 10, click.IntRange(1, 50), "Show at most N repositories.")
@json_option
def search_command(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Search the Hugging Face Hub for models that can be loaded.

    Shows what `localllm pull REPOSITORY` would take: the quantization for this machine, the
    size of its weights and whether they fit into memory. The most downloaded come first.

    \b
    Example:
      localllm search qwen3 4b
    """
    from models.hub.search import search_hub
    from models.hub.snapshot import Hub

    hub = Hub(on_wait=lambda text: click.echo(text, err=True))
    found = search_hub(hub, " ".join(words), max_models=limit)
    if as_json:
        print_json([asdict(result) for result in found])
        return
    if not found:
        click.echo(f"nothing that can be loaded is called {' '.join(words)!r}", err=True)
        return
    print_table(
        ("REPOSITORY", "FORMAT", "QUANTIZATION", "SIZE", "FIT", "DOWNLOADS"),
        [_row(result) for result in found],
    )


def _row(result: "SearchResult") -> tuple[str, ...]:
    if result.format is None:
        return (result.repo, "gated", "-", "-", "-", f"{result.num_downloads:,}")
    size = format_bytes(result.weight_bytes)
    label = result.label or "-"
    return (
        *(result.repo, result.format, label, size, result.fit or "-"),
        f"{result.num_downloads:,}",
    )


@click.command("update")
@click.argument("model", required=False)
@click.option("--apply", "apply_it", is_flag=True, help="Fetch what is newer.")
@json_option
def update_command(model: str | None, apply_it: bool, as_json: bool) -> None:
    """Ask whether pulled models have newer files.

    Without MODEL all of them. Only files that loading needs count, and only changed ones are
    fetched. What was made here, with `localllm create` or from files, is left alone.
    """
    library = open_library(read_settings())
    manifests = [library.get(ModelName.parse(model))] if model else _pulled(library)
    found = _find_updates(manifests, library)
    if as_json:
        print_json([asdict(update) for update in found])
    else:
        print_table(("NAME", "STATE"), [(update.name, _state(update)) for update in found])
    if apply_it:
        for update in found:
            _apply(update, library)
    problems = [update for update in found if update.state == "unknown"]
    if problems:
        raise UserError(f"{problems[0].name}: {problems[0].problem}")


def _pulled(library: Library) -> list[Manifest]:
    return [manifest for manifest in library.list() if manifest.source is not None]


def _find_updates(manifests: Sequence[Manifest], library: Library) -> "list[Update]":
    from models.hub.snapshot import Hub
    from models.hub.update import find_update

    if not manifests:
        return []
    hub = Hub(on_wait=lambda text: click.echo(text, err=True))
    with ThreadPoolExecutor(NUM_REQUESTS) as pool:
        return list(pool.map(lambda manifest: find_update(manifest, library, hub), manifests))


def _state(update: "Update") -> str:
    if update.state == "newer":
        return f"newer files, {format_bytes(update.num_bytes)} to fetch"
    if update.state == "unknown":
        return f"not known: {update.problem}"
    return _STATES[update.state]


def _apply(update: "Update", library: Library) -> None:
    from models.hub.pull import pull_target

    if update.target is not None:
        events = pull_target(update.target, library)
        with progress_display(as_json=False) as show, closing(events):
            for event in events:
                show(event)

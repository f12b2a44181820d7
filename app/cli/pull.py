"""`localllm pull`: downloads a model; bars on a terminal, lines in a pipe, JSON on request."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

import click

from app.cli.arguments import open_library
from app.cli.output import print_json_line
from app.settings import read_settings
from app.sizes import format_bytes
from models.name import ModelName
from models.store.library import Library

if TYPE_CHECKING:
    from models.hub.pull import PullProgress

LINE_EVERY_S = 10.0
"""How often a file's progress is told where no bar can be drawn."""

Show: TypeAlias = "Callable[[PullProgress], None]"


@click.command("pull")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print the progress as lines of JSON.")
def pull_command(model: str, as_json: bool) -> None:
    """Download a model into the library.

    A download that was cut short goes on where it stopped. MODEL is a name of the
    catalogue or a repository of the Hugging Face Hub, with a quantization or a file after the
    colon. HF_TOKEN opens gated repositories.

    \b
    Examples:
      localllm pull qwen3:0.6b
      localllm pull hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M
      localllm pull mlx-community/Qwen3-0.6B-4bit
    """
    from models.hub.pull import pull

    name = ModelName.parse(model)
    library = open_library(read_settings())
    with progress_display(as_json) as show, closing(pull(name, library)) as events:
        for event in events:
            show(event)
    if not as_json:
        click.echo(_next_step(model, library), err=True)


def _next_step(model: str, library: Library) -> str:
    """What can be done now with what `model` names."""
    found = library.get(ModelName.parse(model))
    if found.format != "adapter":
        return f"{found.name} is ready: localllm run {model}"
    from models.adapter_bases import how_to_apply

    step = how_to_apply(model, found.details.base_model, library.list())
    return f"{found.name} is ready: {step}"


def progress_display(as_json: bool) -> AbstractContextManager[Show]:
    """Shows the events it is given: as JSON, as bars on a terminal, else as lines."""
    if as_json:
        return _json_lines()
    return _bars() if sys.stderr.isatty() else _lines()


@contextmanager
def _json_lines() -> Iterator[Show]:
    yield lambda event: print_json_line(asdict(event))


@contextmanager
def _lines() -> Iterator[Show]:
    """A line for every status, and for a file now and then and at its end."""
    told_s: dict[str, float] = {}

    def show(event: "PullProgress") -> None:
        if event.file is None:
            click.echo(event.status, err=True)
            return
        done = event.completed_bytes >= event.total_bytes
        if done or time.monotonic() - told_s.get(event.file, -LINE_EVERY_S) >= LINE_EVERY_S:
            told_s[event.file] = time.monotonic()
            share = f"{format_bytes(event.completed_bytes)} of {format_bytes(event.total_bytes)}"
            click.echo(f"{event.file}: {share}", err=True)

    yield show


@contextmanager
def _bars() -> Iterator[Show]:
    """One bar for each file."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def show(event: "PullProgress") -> None:
            if event.file is None:
                progress.console.print(event.status, markup=False, highlight=False)
                return
            if event.file not in tasks:
                tasks[event.file] = progress.add_task(event.file, total=event.total_bytes)
            progress.update(tasks[event.file], completed=event.completed_bytes)

        yield show

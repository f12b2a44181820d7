"""`localllm list`, `cp`, `rm` and `export`: the model library, read and changed on disk."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from app.cli.arguments import json_option, open_library
from app.cli.output import format_age, print_json, print_table
from app.settings import read_settings
from app.sizes import format_bytes
from models.name import ModelName
from models.store.manifest import Manifest

NUM_ID_DIGITS = 12


@click.command("list")
@click.argument("prefix", default="")
@json_option
def list_command(prefix: str, as_json: bool) -> None:
    """List the models and adapters in the library.

    Newest first; with PREFIX only those whose names begin with it.
    """
    library = open_library(read_settings())
    found = [m for m in library.list() if m.name.lower().startswith(prefix.lower())]
    if as_json:
        print_json([_entry(manifest) for manifest in found])
        return
    print_table(
        ("NAME", "ID", "SIZE", "PARAMETERS", "QUANTIZATION", "MODIFIED"), [_row(m) for m in found]
    )


def _entry(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "size_bytes": manifest.size_bytes,
        "format": manifest.format,
        "details": asdict(manifest.details),
        "source": asdict(manifest.source) if manifest.source else None,
        "created": manifest.created,
    }


def _row(manifest: Manifest) -> tuple[str, ...]:
    details = manifest.details
    return (
        manifest.name,
        manifest.digest[:NUM_ID_DIGITS],
        format_bytes(manifest.size_bytes),
        details.parameter_count or "-",
        details.quantization or "-",
        format_age(manifest.created),
    )


@click.command("cp")
@click.argument("source")
@click.argument("destination")
def cp_command(source: str, destination: str) -> None:
    """Give a model a second name.

    No bytes are copied."""
    library = open_library(read_settings())
    copy = library.copy(ModelName.parse(source), ModelName.parse(destination))
    click.echo(f"{copy.name} is now another name of {source}", err=True)


@click.command("rm")
@click.argument("models", nargs=-1, required=True)
def rm_command(models: tuple[str, ...]) -> None:
    """Remove models from the library.

    Files that other models use stay."""
    library = open_library(read_settings())
    for model in models:
        freed_bytes = library.remove(ModelName.parse(model))
        click.echo(f"removed {model}, {format_bytes(freed_bytes)} freed", err=True)


@click.command("export")
@click.argument("model")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--link", is_flag=True, help="Hard links instead of copies; on the same disk only.")
def export_command(model: str, directory: Path, link: bool) -> None:
    """Write a model of the library as plain files, for other tools.

    A GGUF model becomes its file or shards, an MLX model a directory. A template, system prompt or
    options kept with the name go into a Modelfile beside them. Nothing in DIRECTORY is replaced.
    """
    from models.export import export_model

    library = open_library(read_settings())
    manifest = library.get(ModelName.parse(model))
    written = export_model(
        manifest, library, directory, link=link, say=lambda text: click.echo(text, err=True)
    )
    for path in written:
        click.echo(path)

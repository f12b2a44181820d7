"""`localllm import`: models that are already on this machine, into the library."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import json_option, open_library
from app.cli.nearest import nearest
from app.cli.output import print_json, print_table
from app.settings import read_settings
from app.sizes import format_bytes
from models.errors import InvalidInput, NotFound, UserError
from models.name import ModelName
from models.store.library import Library

if TYPE_CHECKING:
    from models.importing import Way
    from models.local_model import LocalModel
    from models.scan import Scan

PLACES = ("huggingface", "ollama", "lmstudio")


def _way_option(way: str, text: str) -> Callable[[Any], Any]:
    return click.option(f"--{way}", "way", flag_value=way, help=text)


@click.command("import")
@click.argument("model", required=False)
@click.option("--name", metavar="NAME", help="What to call it; else after its file or its owner.")
@click.option("--scan", "scan_only", is_flag=True, help="List what other programs have here.")
@click.option("--all", "take_all", is_flag=True, help="Import everything that --scan lists.")
@click.option(
    "--from", "place", type=click.Choice(PLACES), help="Look only in this program's store."
)
@_way_option("reference", "Use the files where they are (default).")
@_way_option("link", "Keep the files by hard links: no bytes are copied, and they stay.")
@_way_option("copy", "Copy the files; where the disk can, the copies share their bytes.")
@_way_option("move", "Take the files away from where they are.")
@json_option
def import_command(
    model: str | None,
    name: str | None,
    scan_only: bool,
    take_all: bool,
    place: str | None,
    way: "Way | None",
    as_json: bool,
) -> None:
    """Use a model that is already on this machine.

    MODEL is a GGUF file, any shard of one, a directory with config.json and safetensors, or
    the name of a model that the Hugging Face cache, Ollama or LM Studio has. Nothing is
    downloaded, and without --link, --copy or --move nothing takes space twice.

    \b
    Examples:
      localllm import --scan
      localllm import ~/Downloads/Llama-3.2-1B-Instruct-Q4_K_M.gguf --name llama
      localllm import llama3.2:1b --from ollama
      localllm import --all
    """
    _check_combination(model, name, scan_only, take_all)
    library = open_library(read_settings())
    if model is not None:
        local = _find(model, place)
        wanted = ModelName.parse(name or local.name)
        _take(local, library, wanted, way or "reference")
        click.echo(f"{wanted.display} is ready: localllm run {wanted.short}", err=True)
        return
    found = _scan(place)
    if take_all:
        _take_all(found, library, way or "reference")
    elif as_json:
        print_json([_entry(local, library) for local in found.models])
    else:
        print_table(
            ("NAME", "FORMAT", "SIZE", "PLACE", "IN THE LIBRARY"),
            [_row(local, library) for local in found.models],
        )
    for problem in found.problems:
        click.echo(f"not usable: {problem}", err=True)


def _check_combination(
    model: str | None, name: str | None, scan_only: bool, take_all: bool
) -> None:
    chosen = sum((model is not None, scan_only, take_all))
    if chosen == 0:
        raise InvalidInput(
            "no model named", hint="`localllm import --scan` lists what is on this machine"
        )
    if model is not None and chosen > 1:
        raise InvalidInput("MODEL and --scan or --all exclude each other")
    if name is not None and model is None:
        raise InvalidInput("--name needs MODEL")


def _scan(place: str | None) -> "Scan":
    from dataclasses import replace

    from models.places import find_places
    from models.scan import scan

    places = find_places(os.environ, Path.home())
    others = {other: () for other in PLACES if place not in (None, other)}
    return scan(replace(places, **others))


def _find(text: str, place: str | None) -> "LocalModel":
    """The model at a path, else the one that another program has under this name."""
    from models.local_model import model_at

    path = Path(text).expanduser()
    looks_like_path = text.startswith(("/", "./", "../", "~")) or text.endswith(".gguf")
    if place is None and (looks_like_path or path.exists()):
        return model_at(path)
    name = ModelName.parse(text)
    found = _scan(place).models
    meant = [name.key, *([hub.key] if (hub := name.as_hub()) else [])]
    matches = [local for local in found if ModelName.parse(local.name).key in meant]
    if not matches:
        near = nearest(name.short, [local.name for local in found])
        hint = f"did you mean {near}? " if near else ""
        raise NotFound(
            f"{text}: no file of that name, and no other program here has such a model",
            hint=f"{hint}`localllm import --scan` lists what there is",
        )
    if len(matches) > 1:
        places = ", ".join(f"{local.place} ({local.location})" for local in matches)
        raise InvalidInput(f"{text}: in several places: {places}", hint="choose one with --from")
    return matches[0]


def _take(local: "LocalModel", library: Library, name: ModelName, way: "Way") -> None:
    from models.importing import import_model

    import_model(local, library, name, way, say=lambda text: click.echo(text, err=True))
    for note in local.notes:
        click.echo(f"note: {note}", err=True)


def _take_all(found: "Scan", library: Library, way: "Way") -> None:
    """Import one after the other; what cannot be is told and fails the command at its end."""
    num_failed = 0
    models = _distinct(found.models)
    for local in models:
        try:
            _take(local, library, ModelName.parse(local.name), way)
        except UserError as error:
            num_failed += 1
            click.echo(f"{local.name}: not imported: {error.message}", err=True)
        else:
            click.echo(f"{local.name} is ready", err=True)
    if num_failed:
        raise UserError(f"{num_failed} of {len(models)} models were not imported")


def _distinct(models: "Iterable[LocalModel]") -> "list[LocalModel]":
    """The first of each name: the places are listed in the order of their worth."""
    found: dict[tuple[str, str, str, str], LocalModel] = {}
    for local in models:
        found.setdefault(ModelName.parse(local.name).key, local)
    return list(found.values())


def _entry(local: "LocalModel", library: Library) -> dict[str, object]:
    return {
        "name": local.name,
        "format": local.format,
        "size_bytes": local.size_bytes,
        "place": local.place,
        "path": str(local.location),
        "in_library": library.find(ModelName.parse(local.name)) is not None,
        "notes": list(local.notes),
    }


def _row(local: "LocalModel", library: Library) -> tuple[str, ...]:
    is_here = library.find(ModelName.parse(local.name)) is not None
    size = format_bytes(local.size_bytes)
    return (local.name, local.format, size, local.place, "yes" if is_here else "no")

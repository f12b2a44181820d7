"""`localllm df` and `localllm dedupe`: what models take on the disk, and having some of it back."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import json_option, open_library
from app.cli.output import print_json, print_table
from app.settings import read_settings
from app.sizes import format_bytes

if TYPE_CHECKING:
    from models.places import Places
    from models.store.dedupe import Duplicate, Merge
    from models.store.usage import Usage


@click.command("df")
@click.option("--reclaim", is_flag=True, help="Remove what no model needs: see below.")
@json_option
def df_command(reclaim: bool, as_json: bool) -> None:
    """Show what models take on the disk.

    OWN goes with a model's name, SHARED is used by other names too, IN PLACE are files of
    other programs. Reclaimable are interrupted downloads that nobody is continuing and
    contents that no name uses; --reclaim removes them.
    """
    from models.store.usage import measure

    library = open_library(read_settings())
    if reclaim:
        freed_bytes = library.prune() + library.blobs.remove_partials()
        click.echo(f"{format_bytes(freed_bytes)} freed", err=True)
        return
    usage = measure(library, _places())
    if as_json:
        print_json({**asdict(usage), "reclaimable_bytes": usage.reclaimable_bytes})
    else:
        _print_usage(usage)


def _places() -> "Places":
    from models.places import find_places

    return find_places(os.environ, Path.home())


def _print_usage(usage: "Usage") -> None:
    print_table(
        ("MODEL", "SIZE", "OWN", "SHARED", "IN PLACE"),
        [
            (
                model.name + (" (files missing)" if model.missing_bytes else ""),
                *map(_size, (model.size_bytes, model.own_bytes, model.shared_bytes)),
                _size(model.in_place_bytes),
            )
            for model in usage.models
        ],
    )
    click.echo(f"\nlibrary      {format_bytes(usage.blob_bytes)}")
    for store in usage.stores:
        shared = f", {format_bytes(store.shared_bytes)} of it shared with the library"
        size = format_bytes(store.disk_bytes) + (shared if store.shared_bytes else "")
        click.echo(f"{store.place.ljust(12)} {size}  {store.root}")
    for partial in usage.partials:
        state = "under way" if partial.is_running else "interrupted"
        click.echo(f"{state.ljust(12)} {format_bytes(partial.disk_bytes)}  {partial.key[:16]}")
    click.echo(f"reclaimable  {format_bytes(usage.reclaimable_bytes)}")
    if usage.unused_bytes is None:
        click.echo("a damaged manifest hides which contents are unused", err=True)


def _size(num_bytes: int) -> str:
    return format_bytes(num_bytes) if num_bytes else "-"


@click.command("dedupe")
@click.option("--apply", "apply_it", is_flag=True, help="Merge; without it nothing changes.")
@json_option
def dedupe_command(apply_it: bool, as_json: bool) -> None:
    """Find equal model files and let them share their bytes.

    Looks into the library, the Hugging Face cache, Ollama's store and LM Studio's folder.
    Files of equal size are read and compared by sha256. With --apply a copy becomes a clone
    of the file that is kept, or a hard link to it where the disk has no clones; every
    program finds its files where they were. A file that changed meanwhile, belongs to
    another user or is on another disk is left alone.
    """
    from models.store.dedupe import find_duplicates, merge

    library = open_library(read_settings())
    found = find_duplicates(library, _places(), say=lambda text: click.echo(text, err=True))
    merges = [list(merge(duplicate)) if apply_it else [] for duplicate in found]
    if as_json:
        pairs = zip(found, merges, strict=True)
        print_json([_entry(duplicate, done) for duplicate, done in pairs])
        return
    for duplicate, done in zip(found, merges, strict=True):
        click.echo(f"{format_bytes(duplicate.size_bytes)}  {duplicate.kept.path}")
        for copy in [] if apply_it else duplicate.copies:
            click.echo(f"  equal      {copy.path}")
        for one in done:
            click.echo(f"  {one.how.ljust(9)}  {one.path}" + f"  ({one.reason})" * bool(one.reason))
    if apply_it:
        freed_bytes = sum(one.freed_bytes for done in merges for one in done)
        click.echo(f"{format_bytes(freed_bytes)} freed", err=True)
    else:
        wasted_bytes = sum(duplicate.wasted_bytes for duplicate in found)
        then = "; `localllm dedupe --apply` merges" if found else ""
        click.echo(f"{format_bytes(wasted_bytes)} could be freed{then}", err=True)


def _entry(duplicate: "Duplicate", done: "list[Merge]") -> dict[str, Any]:
    return {
        "digest": duplicate.digest,
        "size_bytes": duplicate.size_bytes,
        "kept": duplicate.kept.path,
        "copies": [copy.path for copy in duplicate.copies],
        "merges": [asdict(one) for one in done],
    }

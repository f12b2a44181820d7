"""What `localllm show` says of a LoRA adapter: for which model, how large, over which layers."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import print_json, print_labelled
from app.sizes import format_bytes
from models.adapter_layers import Adapter, read_adapter
from models.adapters import find_adapter
from models.resolve import adapter_of
from models.store.library import Library

if TYPE_CHECKING:
    from models.store.manifest import Manifest


def show_adapter(manifest: "Manifest", library: Library, *, tensors: bool, as_json: bool) -> None:
    """Print the adapter's facts, or all of them as JSON."""
    from models.adapter_bases import find_bases

    adapter = read_adapter(find_adapter(adapter_of(manifest, library)))
    bases = find_bases(adapter.base_model, library.list())
    if as_json:
        print_json(_entry(manifest, adapter, bases, tensors=tensors))
        return
    layers = Counter(layer.module.rpartition(".")[2] for layer in adapter.layers)
    print_labelled(
        [
            ("name", manifest.name),
            ("kind", f"{adapter.label} adapter of {adapter.files.kind}"),
            ("base model", adapter.base_model),
            ("here as", ", ".join(bases)),
            ("parameters", f"{adapter.num_parameters:,}"),
            ("rank", adapter.ranks),
            ("layers", ", ".join(f"{count} x {name}" for name, count in layers.items())),
            ("size", format_bytes(manifest.size_bytes)),
            *(("file", str(path)) for path in adapter.files.paths),
        ]
    )
    for layer in adapter.layers if tensors else ():
        click.echo(f"{layer.module}  rank {layer.rank}, scale {layer.scale:g}")


def _entry(
    manifest: "Manifest", adapter: Adapter, bases: list[str], *, tensors: bool
) -> dict[str, Any]:
    listed = [
        {"module": layer.module, "rank": layer.rank, "scale": layer.scale}
        for layer in adapter.layers
    ]
    return {
        "name": manifest.name,
        "format": manifest.format,
        "kind": adapter.files.kind,
        "digest": manifest.digest,
        "paths": [str(path) for path in adapter.files.paths],
        "size_bytes": manifest.size_bytes,
        "parameter_count": adapter.num_parameters,
        "base_model": adapter.base_model,
        "base_models_here": bases,
    } | ({"layers": listed} if tensors else {})

"""`localllm show`: what one model is, read from its own files."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import json_option, model_argument, open_library
from app.cli.output import print_json, print_labelled, print_table
from app.settings import read_settings
from app.sizes import describe_cache, format_bytes
from models.errors import InvalidInput
from models.name import ModelName
from models.store.library import Library
from models.store.manifest import Manifest

if TYPE_CHECKING:
    from models.details import ModelDetails, TensorSummary
    from models.files import ModelFiles
    from models.store.receipts import Receipt


@click.command("show")
@model_argument
@click.option("--template", is_flag=True, help="Print the chat template and nothing else.")
@click.option("--license", "license_", is_flag=True, help="Print the license and nothing else.")
@click.option("--tensors", is_flag=True, help="List the tensors too.")
@json_option
def show_command(model: str, template: bool, license_: bool, tensors: bool, as_json: bool) -> None:
    """Show what a model is: size, abilities, template, license.

    Of a LoRA adapter: the model it is for, its rank and its layers."""
    from models.details import describe
    from models.resolve import resolve
    from models.store.receipts import read_receipt

    library = open_library(read_settings())
    adapter = _adapter_named(model, library)
    if adapter is not None:
        from app.cli.show_adapter import show_adapter

        show_adapter(adapter, library, tensors=tensors, as_json=as_json)
        return
    files = resolve(model, library)
    found = describe(files)
    receipt = read_receipt(library.root, files.digest)
    if template or license_:
        click.echo((found.template if template else found.license) or "")
    elif as_json:
        listed = {"tensors": [asdict(t) for t in found.tensors]} if tensors else {}
        print_json(_entry(files, found, verbose=tensors) | listed | {"receipt": receipt})
    else:
        _print_facts(files, found, receipt)
        if tensors:
            _print_tensors(found.tensors)


def _adapter_named(text: str, library: Library) -> Manifest | None:
    try:
        found = library.find(ModelName.parse(text))
    except InvalidInput:
        return None  # a path, or what `resolve` refuses better
    return found if found is not None and found.format == "adapter" else None


def _entry(files: "ModelFiles", found: "ModelDetails", *, verbose: bool) -> dict[str, Any]:
    return {
        "name": files.name,
        "format": files.format,
        "digest": files.digest,
        "paths": _paths(files),
        "size_bytes": found.total_bytes,
        "parameter_count": found.parameter_count,
        "details": asdict(found.details),
        "parameters": dict(files.parameters),
        "system": files.system,
        "template": found.template,
        "license": found.license,
        "conversions": list(found.conversions),
        "model_info": found.model_info(verbose=verbose),
    }


def _print_facts(files: "ModelFiles", found: "ModelDetails", receipt: "Receipt | None") -> None:
    from models.store.receipts import summarize_receipt

    details = found.details
    facts = [
        ("name", files.name),
        ("architecture", details.architecture),
        ("parameters", f"{details.parameter_count} ({found.parameter_count:,})"),
        ("experts", found.experts),
        ("quantization", details.quantization),
        *(("converted", line) for line in found.conversions),
        ("verified", summarize_receipt(receipt) if receipt else ""),
        ("size", format_bytes(found.total_bytes)),
        ("context length", f"{details.context_length:,} tokens"),
        ("embedding length", f"{details.embedding_length:,}"),
        ("cache", describe_cache(found.metadata)),
        ("abilities", ", ".join(details.capabilities)),
        ("license", _first_line(found.license)),
        ("system prompt", _first_line(files.system)),
        *((f"default {name}", _shown(value)) for name, value in files.parameters.items()),
        *(("file", path) for path in _paths(files)),
    ]
    print_labelled(facts)


def _shown(value: Any) -> str:
    return ", ".join(map(json.dumps, value)) if isinstance(value, list) else str(value)


def _print_tensors(tensors: "tuple[TensorSummary, ...]") -> None:
    click.echo()
    print_table(
        ("TENSOR", "QUANTIZATION", "SHAPE"),
        [(t.name, t.quantization, " x ".join(map(str, t.shape))) for t in tensors],
    )


def _paths(files: "ModelFiles") -> list[str]:
    return [str(path) for path in files.paths] or [str(files.directory)]


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]

"""`localllm convert`: a model in another format."""

from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import json_option, model_argument, open_library
from app.cli.nearest import nearest
from app.cli.new_model import (
    find_destination,
    force_option,
    make_model,
    output_option,
    report,
)
from app.settings import read_settings
from models.errors import InvalidInput

if TYPE_CHECKING:
    from engine.conversion.convert import Target


@click.command("convert")
@model_argument
@click.argument("format_", metavar="FORMAT")
@output_option
@click.option("--dtype", metavar="TYPE", help="F16, BF16 or F32; else as the weights are, or F16.")
@force_option
@json_option
def convert_command(
    model: str, format_: str, output: str | None, dtype: str | None, force: bool, as_json: bool
) -> None:
    """Write a model in another format: gguf, mlx or safetensors (Hugging Face's).

    Weights, configuration, vocabulary and chat template go over. Quantized weights become dense;
    `localllm quantize` makes them small in either format.

    \b
    Examples:
      localllm convert ./Llama-3.2-1B/ gguf -o ./llama.gguf
      localllm convert my-model:F16 mlx
      localllm convert ./my-mlx-model/ safetensors -o ./for-transformers/ --dtype BF16
    """
    from models.resolve import resolve

    library = open_library(read_settings())
    files = resolve(model, library)
    from engine.conversion.convert import convert
    from models.details import describe

    target = _parse_target(format_)
    wanted = _parse_dtype(dtype)
    tag = target if wanted is None else f"{target}-{wanted}"
    destination = find_destination(output, files, tag, library, force=force)
    new = convert(files, target, wanted)
    make_model(new, destination, library, files, quiet=as_json)
    num_parameters = max(describe(files).parameter_count, 1)
    made: dict[str, Any] = {
        "model": destination.text,
        "format": target,
        "size_bytes": new.num_bytes,
        "bits_per_weight": new.num_bytes * 8 / num_parameters,
    }
    report(made, as_json=as_json)


def _parse_target(text: str) -> "Target":
    known: dict[str, Target] = {"gguf": "gguf", "mlx": "mlx", "safetensors": "safetensors"}
    found = known.get(text.lower())
    if found is None:
        near = nearest(text, known)
        meant = f"did you mean {near}? " if near else ""
        raise InvalidInput(f"no such format {text!r}", hint=f"{meant}known: {', '.join(known)}")
    return found


def _parse_dtype(text: str | None) -> str | None:
    from engine.conversion.mixes import DENSE

    if text is None:
        return None
    label = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}.get(text.lower(), text.upper())
    if label not in DENSE:
        raise InvalidInput(
            f"--dtype {text}: one of {', '.join(DENSE)} is accepted",
            hint="`localllm quantize MODEL TYPE` makes smaller ones.",
        )
    return label

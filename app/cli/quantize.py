"""`localllm quantize`: a smaller model from a full one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import json_option, model_argument, open_library, read_text
from app.cli.new_model import (
    counter,
    find_destination,
    force_option,
    make_model,
    output_option,
    report,
)
from app.settings import read_settings
from models.errors import InvalidInput

if TYPE_CHECKING:
    from engine.conversion.importance import ImportanceMatrix
    from models.files import ModelFiles

WINDOW_TOKENS = 512


def _file_option(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(name, metavar="FILE", type=click.Path(path_type=Path), help=text)


@click.command("quantize")
@model_argument
@click.argument("type_", metavar="TYPE")
@output_option
@_file_option("--calibration", "Text that shows which weights matter most.")
@_file_option("--importance", "An importance matrix (GGUF) made before, here or by llama.cpp.")
@_file_option("--save-importance", "Keep the importance matrix that --calibration makes here.")
@_file_option("--perplexity", "Measure the model on the text in FILE, before and after.")
@click.option("--allow-requantize", is_flag=True, help="Take a model that is quantized already.")
@force_option
@json_option
def quantize_command(model: str, type_: str, as_json: bool, **given: Any) -> None:
    """Make a smaller model from one in F16, BF16 or F32.

    MODEL is a GGUF model or a directory of safetensors. TYPE is a mix of GGUF's formats
    (Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, Q3_K_M, Q2_K, ...), chosen for each tensor as llama.cpp
    does, or MLX's format: mlx-4bit, mlx-8bit, mlx-4bit-g32 (groups of 32).

    \b
    Examples:
      localllm quantize ./my-model-F16.gguf Q4_K_M
      localllm quantize ./my-model/ Q4_K_M --calibration notes.txt --perplexity test.txt
      localllm quantize my-model:F16 mlx-4bit -o my-model:4bit
    """
    from engine.conversion.types import parse_type
    from models.resolve import resolve

    _check_options(given)
    wanted = parse_type(type_)
    library = open_library(read_settings())
    files = resolve(model, library)
    label = wanted if isinstance(wanted, str) else wanted.label
    destination = find_destination(given["output"], files, label, library, force=given["force"])
    from engine.conversion.convert import quantize

    matrix = _importance(files, given, quiet=as_json)
    new = quantize(
        files,
        wanted,
        importance=None if matrix is None else matrix.means,
        allow_requantize=given["allow_requantize"],
    )
    before = _perplexity(files, given["perplexity"], "before", quiet=as_json)
    make_model(new, destination, library, files, quiet=as_json)
    made = resolve(destination.text, library)
    after = _perplexity(made, given["perplexity"], "after", quiet=as_json)
    facts = {"model": destination.text, "type": label, **_sizes(files, made)}
    report(facts | before | after, as_json=as_json)


def _check_options(given: dict[str, Any]) -> None:
    """Before minutes of work, not after them."""
    if given["calibration"] and given["importance"]:
        raise InvalidInput("--calibration makes what --importance reads: give one of them")
    if given["save_importance"] and not given["calibration"]:
        raise InvalidInput("--save-importance keeps what --calibration FILE makes: give that too")
    if given["perplexity"]:
        read_text(given["perplexity"])


def _importance(
    files: "ModelFiles", given: dict[str, Any], *, quiet: bool
) -> "ImportanceMatrix | None":
    """The matrix that was asked for, read or measured."""
    from engine.conversion.convert import open_source, tensor_names
    from engine.conversion.importance import (
        check_importance,
        importance_pieces,
        measure_importance,
        read_importance,
    )
    from models.store.disk import disk_errors, write_pieces

    if given["importance"]:
        matrix = read_importance(given["importance"])
        check_importance(matrix, open_source(files))
        return matrix
    if not given["calibration"]:
        return None
    text = read_text(given["calibration"])
    matrix = measure_importance(
        files,
        tensor_names(open_source(files)),
        text,
        given["calibration"].name,
        (lambda _number, _total: None) if quiet else counter("calibration: window"),
    )
    if given["save_importance"]:
        with disk_errors(given["save_importance"]):
            write_pieces(given["save_importance"], importance_pieces(matrix))
    return matrix


def _perplexity(
    files: "ModelFiles", file: Path | None, when: str, *, quiet: bool
) -> dict[str, float]:
    """The perplexity of a model as a fact, said as soon as it is known; nothing without a text."""
    if file is None:
        return {}
    from engine.loading import EngineOptions, load_model
    from engine.perplexity import measure_perplexity

    loaded = load_model(files, EngineOptions(max_context_tokens=WINDOW_TOKENS + 1))
    window = min(WINDOW_TOKENS, loaded.engine.limits.max_context_tokens - 1)
    show = counter(f"perplexity {when}: window")
    found = measure_perplexity(
        loaded,
        read_text(file),
        window,
        lambda so_far, total: None if quiet else show(so_far.num_windows, total),
    )
    if not quiet:
        click.echo(f"perplexity {when}: {found.perplexity:.4f} +- {found.standard_error:.4f}")
    return {f"perplexity_{when}": found.perplexity}


def _sizes(before: "ModelFiles", after: "ModelFiles") -> dict[str, float]:
    from models.details import describe

    was, made = describe(before), describe(after)
    return {
        "size_bytes": made.total_bytes,
        "size_bytes_before": was.total_bytes,
        "bits_per_weight": made.total_bytes * 8 / max(was.parameter_count, 1),
    }

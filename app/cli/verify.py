"""`localllm verify`: whether a model's files are whole and computed right; the receipt of it."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import localllm
from app.cli.arguments import json_option, model_argument, open_library, read_text
from app.cli.output import print_json
from app.settings import read_settings
from models.errors import InvalidModelFile

if TYPE_CHECKING:
    from models.files import ModelFiles


@click.command("verify")
@model_argument
@click.option("--reference", help="The same model in a better format: a name, or a file.")
@click.option("--text", type=click.Path(path_type=Path), help="A file of text to compare over.")
@json_option
def verify_command(model: str, reference: str | None, text: Path | None, as_json: bool) -> None:
    """Check a model's files and kernels, and how far it is from a reference.

    Hashes and shapes, then a product with every stored format against the file's own weights; with
    a reference also KL divergence and perplexity. The receipt stays in the library for `show`.
    """
    from models.resolve import resolve
    from models.store.receipts import summarize_receipt, write_receipt

    library = open_library(read_settings())
    files = resolve(model, library)
    against = resolve(reference, library) if reference else None
    words = read_text(text) if text else None
    receipt = make_receipt(files, against, words)
    path = write_receipt(library.root, files.digest, receipt)
    if as_json:
        print_json(receipt)
    else:
        _print_receipt(receipt)
        click.echo(f"{summarize_receipt(receipt)}\nkept in {path}")
    failed = [name for name, found in receipt["kernels"].items() if not found["passed"]]
    if failed:
        raise InvalidModelFile(
            f"{files.name}: products with {', '.join(failed)} are not what the file's weights say",
            hint="localllm doctor tells which kernels run here; this is worth a report",
        )


def make_receipt(
    files: "ModelFiles", reference: "ModelFiles | None", text: str | None
) -> dict[str, Any]:
    """Everything that can be found out.

    Raises:
        InvalidModelFile: a file is damaged, or shapes do not fit together.
    """
    from engine.divergence import DEFAULT_TEXT, measure_divergence
    from engine.kernel_accuracy import measure_kernels
    from engine.kernels import describe_kernels
    from engine.network_loading import load_network
    from models.fit import total_memory_bytes
    from models.formats.conversions import describe_conversions
    from models.formats.gguf import read_gguf
    from models.store.file_hashes import check_hashes

    hashes = check_hashes(files)
    gguf = read_gguf(files.paths[0]) if files.format == "gguf" else None
    tensors = gguf.tensors.values() if gguf else ()
    weights = load_network(files).weights
    compared = measure_divergence(files, reference, text or DEFAULT_TEXT) if reference else None
    return {
        "model": files.name,
        "digest": files.digest,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": localllm.__version__,
        "backend": describe_kernels().backend,
        "hashes": hashes,
        "num_parameters": weights.num_parameters,
        "quantization": weights.quantization,
        "conversions": list(describe_conversions(tensors, total_memory_bytes())),
        "kernels": measure_kernels(gguf) if gguf else {},
        "comparison": asdict(compared) if compared else None,
    }


def _print_receipt(receipt: dict[str, Any]) -> None:
    for found in receipt["hashes"]:
        click.echo(f"file     {found['file']}  sha256 {found['sha256'][:16]}  {found['state']}")
    click.echo(f"weights  {receipt['num_parameters']:,}, every shape as the network wants it")
    for name, found in receipt["kernels"].items():
        ending = "" if found["loaded_as"] == name else f", loaded as {found['loaded_as']}"
        verdict = "right" if found["passed"] else "WRONG"
        click.echo(f"kernel   {name}{ending}: {verdict}, within {found['error']:.1e}")
    compared = receipt["comparison"]
    if compared:
        click.echo(
            f"against  {compared['reference']}: KL divergence {compared['kl_mean']:.5f} "
            f"(99%: {compared['kl_99']:.5f}), same favourite {compared['same_top']:.1%}, "
            f"perplexity {compared['perplexity']:.3f} "
            f"against {compared['reference_perplexity']:.3f}"
        )

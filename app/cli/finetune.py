"""`localllm finetune`: train a LoRA adapter; the loss is printed and drawn."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import model_argument, number_option, open_library
from app.cli.curve import draw_curve
from app.cli.output import print_json_line
from app.settings import read_settings
from models.errors import InvalidInput, StorageError

if TYPE_CHECKING:
    from engine.training.finetune import TrainingStep


@click.command("finetune")
@model_argument
@click.option(
    "--data",
    required=True,
    metavar="FILE.jsonl",
    type=click.Path(path_type=Path),
    help="Examples, one JSON object a line.",
)
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the adapter is written.",
)
@number_option("--steps", 200, click.IntRange(1), "Optimizer steps.")
@number_option("--batch-size", 4, click.IntRange(1), "Examples in each step.")
@number_option("--learning-rate", 2e-4, click.FLOAT, "The highest; it warms up, then falls.")
@number_option("--rank", 8, click.INT, "Width of the adapter's matrices.")
@number_option("--scale", 20.0, click.FLOAT, "Factor of what the adapter adds.")
@number_option("--layers", 16, click.INT, "Adapt the last so many layers; -1: all.")
@number_option("--max-tokens", 1024, click.IntRange(2), "Longer examples are cut.")
@number_option("--validation", 0.1, click.FLOAT, "Share of the examples kept for validation.")
@number_option("--validate-every", 50, click.IntRange(1), "Steps between validations.")
@number_option("--save-every", 50, click.IntRange(1), "Steps between savings of the adapter.")
@number_option("--seed", 0, click.INT, "Of the adapter's first values and the order of examples.")
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON.")
def finetune_command(model: str, data: Path, output: Path, as_json: bool, **given: Any) -> None:
    """Teach a model from examples (LoRA).

    Writes an adapter, for `localllm run MODEL --adapter DIR`.

    \b
    A line of FILE.jsonl is one of:
      {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
      {"prompt": "...", "completion": "..."}
      {"text": "..."}
    """
    from models.resolve import resolve

    files = resolve(model, open_library(read_settings()))
    _check_output(output)
    _use_fast_blas()
    from engine.network.lora import LoRAConfig
    from engine.training.finetune import FinetuneOptions, finetune

    options = FinetuneOptions(
        num_steps=given["steps"],
        batch_size=given["batch_size"],
        learning_rate=given["learning_rate"],
        max_tokens=given["max_tokens"],
        lora=LoRAConfig(rank=given["rank"], scale=given["scale"], num_layers=given["layers"]),
        validation_share=given["validation"],
        validate_every=given["validate_every"],
        save_every=given["save_every"],
        seed=given["seed"],
    )
    done: list[TrainingStep] = []

    def on_step(step: "TrainingStep") -> None:
        done.append(step)
        print_json_line(vars(step)) if as_json else _print_step(step)

    finetune(files, data, output, options, on_step)
    if not as_json:
        click.echo("\n".join(["", *draw_curve([step.loss for step in done])]))
        click.echo(f"\nadapter: {output}")
        click.echo(f"try it:  localllm run {model} --adapter {output} PROMPT")


def _use_fast_blas() -> None:
    """Before anything imports MLX: nothing can be put under it while it runs."""
    if "mlx.core" not in sys.modules:
        from engine.training import use_fast_blas

        use_fast_blas()


def _check_output(output: Path) -> None:
    """Before an hour of training, not after it."""
    if output.exists() and not output.is_dir():
        raise InvalidInput(f"{output}: is a file", hint="--output takes a directory")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{output}: {error.strerror}") from None


def _print_step(step: "TrainingStep") -> None:
    validation = "" if step.validation_loss is None else f"  validation {step.validation_loss:.4f}"
    click.echo(
        f"step {step.step:>{len(str(step.num_steps))}}/{step.num_steps}  loss {step.loss:.4f}"
        f"{validation}  {step.tokens_per_s:.0f} tokens/s"
    )

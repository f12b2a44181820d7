"""`localllm finetune`: train a LoRA adapter; the loss is printed and drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import model_argument, open_library
from app.cli.curve import draw_curve
from app.cli.output import print_json_line
from app.settings import read_settings
from models.errors import InvalidInput, StorageError
from models.resolve import resolve

if TYPE_CHECKING:
    from engine.finetune import TrainingStep


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
@click.option("--steps", default=200, show_default=True, type=click.IntRange(1))
@click.option("--batch-size", default=4, show_default=True, type=click.IntRange(1))
@click.option("--learning-rate", default=2e-4, show_default=True, type=float)
@click.option("--rank", default=8, show_default=True, type=int, help="Of the adapter's matrices.")
@click.option(
    "--scale", default=20.0, show_default=True, type=float, help="Of what the adapter adds."
)
@click.option(
    "--layers", default=16, show_default=True, type=int, help="The last so many; -1: all."
)
@click.option(
    "--max-tokens",
    default=1024,
    show_default=True,
    type=click.IntRange(2),
    help="Longer examples are cut.",
)
@click.option(
    "--validation",
    default=0.1,
    show_default=True,
    type=float,
    help="Share of the examples kept for validation.",
)
@click.option(
    "--validate-every", default=50, show_default=True, type=click.IntRange(1), help="Steps."
)
@click.option("--save-every", default=50, show_default=True, type=click.IntRange(1), help="Steps.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON.")
def finetune_command(model: str, data: Path, output: Path, as_json: bool, **given: Any) -> None:
    """Teach MODEL from examples: writes a LoRA adapter, for `localllm run MODEL --adapter DIR`.

    \b
    A line of FILE.jsonl is one of:
      {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
      {"prompt": "...", "completion": "..."}
      {"text": "..."}
    """
    files = resolve(model, open_library(read_settings()))
    _check_output(output)
    from engine.finetune import FinetuneOptions, finetune
    from engine.lora import LoRAConfig

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

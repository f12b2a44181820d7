"""What `quantize` and `convert` share: where the new model goes, progress, and what was made."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import print_json
from app.cli.pull import progress_display
from app.sizes import format_bytes
from models.bundled import BUNDLED_NAME
from models.errors import InvalidInput
from models.name import ModelName

if TYPE_CHECKING:
    from models.files import ModelFiles
    from models.store.library import Library
    from models.store.new_files import NewFiles

_PATH_STARTS = ("/", "./", "../", "~")
_PATH_ENDS = ("/", ".gguf")

output_option = click.option(
    "-o",
    "--output",
    metavar="NAME|PATH",
    help="A name in the library, or a path (./FILE.gguf, ./DIR/); else MODEL's name with a tag.",
)
force_option = click.option("--force", is_flag=True, help="Replace what has that name.")


@dataclass(frozen=True)
class Destination:
    """A name of the library, or a path."""

    name: ModelName | None
    path: Path | None

    @property
    def text(self) -> str:
        """As a user writes it in the next command."""
        if self.name is not None:
            return self.name.short
        is_clear = str(self.path).startswith(("/", "../"))
        return str(self.path) if is_clear else f"./{self.path}"


def find_destination(
    output: str | None, files: "ModelFiles", tag: str, library: "Library", *, force: bool
) -> Destination:
    """Where the new model of `files` goes; `tag` says what it is.

    Raises:
        InvalidInput: something is there, and `force` is not given; or no name.
    """
    from models.store.new_files import check_target

    if output is not None and (output.startswith(_PATH_STARTS) or output.endswith(_PATH_ENDS)):
        path = Path(output).expanduser()
        check_target(path, overwrite=force)
        return Destination(None, path)
    name = ModelName.parse(output) if output is not None else _default_name(files, tag)
    if name.matches(BUNDLED_NAME):
        raise InvalidInput(f"'{name.short}' is the bundled model", hint="Choose another name.")
    if library.find(name) is not None and not force:
        raise InvalidInput(
            f"'{name.short}' is a model of the library already",
            hint="--output NAME gives another name, --force replaces it.",
        )
    return Destination(name, None)


def _default_name(files: "ModelFiles", tag: str) -> ModelName:
    from models.local_model import model_at

    is_path = files.format == "gguf" and files.name == files.paths[0].stem
    named = model_at(files.paths[0]).name if is_path else files.name
    model = ModelName.parse(named).model.removesuffix("-GGUF")
    return ModelName.parse(f"{model}:{tag}")


def make_model(
    new: "NewFiles",
    destination: Destination,
    library: "Library",
    like: "ModelFiles",
    *,
    quiet: bool,
) -> None:
    """Write the new model to its place, with a bar on a terminal and lines in a pipe."""
    from models.hub.pull import PullProgress
    from models.store.new_files import store_files, watch, write_files

    with nullcontext(_say_nothing) if quiet else progress_display(as_json=False) as show:

        def on_bytes(made: int) -> None:
            show(PullProgress("", None, new.num_bytes, made, file=destination.text))

        watched = watch(new, on_bytes)
        if destination.name is not None:
            store_files(watched, destination.name, library, like)
        else:
            assert destination.path is not None
            write_files(watched, destination.path)
    for note in () if quiet else new.notes:
        click.echo(f"note: {note}", err=True)


def _say_nothing(_event: object) -> None:
    """Where only JSON is wanted."""


def report(made: dict[str, Any], *, as_json: bool) -> None:
    """Say what was made: `model`, `size_bytes` and what else there is to say."""
    if as_json:
        print_json(made)
        return
    name = made["model"]
    size = f"{format_bytes(made['size_bytes'])}, {made['bits_per_weight']:.2f} bits a weight"
    click.echo(f"{name} is ready ({size}): localllm run {name}", err=True)


def counter(what: str) -> Callable[[int, int], None]:
    """Tells how far a count has come: in place on a terminal, else now and then."""

    def show(number: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{what} {number}/{total}", err=True, nl=number == total)
        elif number == total or number % 50 == 0:
            click.echo(f"{what} {number}/{total}", err=True)

    return show

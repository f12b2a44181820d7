"""Arguments and options that several commands share, each declared once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.locations import library_dir
from app.settings import Settings
from models.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from models.store.library import Library

model_argument = click.argument("model")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
adapter_option = click.option(
    "--adapter",
    metavar="ADAPTER",
    help="Apply a LoRA adapter: a name in the library, a directory or a GGUF file.",
)

draft_option = click.option(
    "--draft",
    metavar="MODEL",
    help="A smaller model of the same family drafts; the text stays the same.",
)

kv_type_option = click.option(
    "--kv-type",
    metavar="TYPE",
    help="Keep keys and values as f16, q8_0 (half the memory) or auto: q8_0 where f16 is too much.",
)


def number_option(
    name: str, default: float | None, kind: click.ParamType[Any], text: str
) -> Callable[[Any], Any]:
    """An option that takes a number; its default is shown in the help."""
    return click.option(name, default=default, show_default=True, type=kind, metavar="N", help=text)


def open_library(settings: Settings) -> "Library":
    """The library below the home directory."""
    from models.store.library import Library

    return Library(library_dir(settings.home))


def model_reference(text: str, settings: Settings) -> str:
    """`text` as the daemon is to receive it: a library name unchanged, a path made absolute.

    Raises:
        NotFound, InvalidModelFile: `text` is a path, and no model is there.
    """
    if not _is_path(text, settings):
        return text
    from models.resolve import resolve

    resolve(text, open_library(settings))
    return str(Path(text).expanduser().absolute())


def optional_reference(text: str | None, settings: Settings) -> str | None:
    """`model_reference` of an option that need not be given."""
    return None if text is None else model_reference(text, settings)


def _is_path(text: str, settings: Settings) -> bool:
    """As `models.resolve` decides: a name that the library has comes before a file beside us."""
    if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
        return True
    if not Path(text).exists():
        return False
    from models.name import ModelName

    try:
        return open_library(settings).find(ModelName.parse(text)) is None
    except InvalidInput:
        return True


def find_adapter_path(text: str | None, settings: Settings) -> Path | None:
    """Where the adapter is that `text`, a name or a path, calls.

    Raises:
        NotFound, InvalidInput: nothing is called so, or no adapter.
    """
    if text is None:
        return None
    from models.resolve import resolve_adapter

    return resolve_adapter(text, open_library(settings))


def read_text(file: Path) -> str:
    """The text in a file.

    Raises:
        NotFound, InvalidInput: there is no such file, or not of text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{file}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InvalidInput(f"{file}: not a text file: {error}") from None

"""`localllm create`: a model with a system prompt, template and options of its own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.arguments import open_library
from app.settings import read_settings
from models.errors import InvalidInput, NotFound
from models.name import ModelName
from models.store.library import Library

if TYPE_CHECKING:
    from models.modelfile import Modelfile


@click.command("create")
@click.argument("name")
@click.option(
    "-f",
    "--file",
    "modelfile",
    default="Modelfile",
    show_default=True,
    metavar="FILE",
    help="The Modelfile; - is standard input.",
)
def create_command(name: str, modelfile: str) -> None:
    """Make a model from another, as a Modelfile says.

    FROM names a model of the library, a GGUF file or a directory; its files are shared and
    not copied. PARAMETER, SYSTEM, TEMPLATE (Jinja or Ollama's), MESSAGE, LICENSE and ADAPTER are
    kept with the name. Paths are relative to the Modelfile; ADAPTER may also name an adapter of
    the library.

    \b
    Example of a Modelfile:
      FROM pocket
      PARAMETER temperature 0.2
      SYSTEM You answer in one sentence.
    """
    from models.create import NewModel, create_model
    from models.modelfile import decode_modelfile, parse_modelfile

    wanted = ModelName.parse(name)
    path, raw = _read(modelfile)
    asked = parse_modelfile(decode_modelfile(raw))
    library = open_library(read_settings())
    new = NewModel(
        wanted,
        base=_base(asked, path.parent, library),
        adapter=None if asked.adapter is None else _adapter(asked.adapter, path.parent, library),
        template=asked.template,
        system=asked.system,
        licenses=asked.licenses,
        parameters=asked.parameters,
        messages=asked.messages,
    )
    create_model(new, library, say=lambda text: click.echo(text, err=True))
    for note in asked.notes:
        click.echo(f"note: {note}", err=True)


def _read(modelfile: str) -> tuple[Path, bytes]:
    """Where the Modelfile is, and its bytes."""
    if modelfile == "-":
        return Path("Modelfile"), sys.stdin.buffer.read()
    path = Path(modelfile).expanduser()
    if not path.is_file():
        raise NotFound(f"{path}: no such Modelfile", hint="name it with -f FILE")
    return path, path.read_bytes()


def _base(asked: "Modelfile", folder: Path, library: Library) -> str:
    """FROM as a library name, or as the path that it means beside the Modelfile."""
    path = _relative(asked.base, folder)
    if asked.base.startswith(("/", "./", "../", "~")):
        return str(path.absolute())
    try:
        is_here = library.find(ModelName.parse(asked.base)) is not None
    except InvalidInput:
        if not path.exists():
            raise NotFound(f"FROM {asked.base}: no such file or directory") from None
        is_here = False
    return asked.base if is_here or not path.exists() else str(path.absolute())


def _adapter(text: str, folder: Path, library: Library) -> Path:
    """ADAPTER as a path beside the Modelfile, or as the name of one in the library."""
    from models.resolve import resolve_adapter

    path = _relative(text, folder)
    return resolve_adapter(str(path.absolute()) if path.exists() else text, library)


def _relative(text: str, folder: Path) -> Path:
    return folder / Path(text).expanduser()

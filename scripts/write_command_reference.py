"""Writes docs/commands.md from the commands themselves; with `--check` only says if it is stale."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
REFERENCE = REPOSITORY / "docs" / "commands.md"


def make_reference() -> str:
    """The help of `localllm` and of every command that it lists."""
    from app.cli.root import root

    context = click.Context(root, info_name="localllm")
    parts = ["# Commands\n\nWritten by `make docs` from the commands' own help.\n"]
    parts.append(_section("localllm", root, context))
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        if not command.hidden:
            parts += _sections(f"localllm {name}", name, command, context)
    return "\n".join(parts)


def _sections(
    title: str, name: str, command: click.Command, parent: click.Context
) -> Iterator[str]:
    """A command's help, then that of the commands in it."""
    context = click.Context(command, info_name=name, parent=parent)
    yield _section(title, command, context)
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from _sections(f"{title} {inner}", inner, each, context)


def _section(title: str, command: click.Command, context: click.Context) -> str:
    context.max_content_width = context.terminal_width = 100
    formatter = click.HelpFormatter(width=100, max_width=100)
    command.format_help(context, formatter)
    return f"## {title}\n\n```\n{formatter.getvalue().rstrip()}\n```\n"


def main() -> None:
    """Write the file, or with `--check` end with 1 when it would change."""
    text = make_reference()
    if sys.argv[1:] == ["--check"]:
        stale = REFERENCE.read_text() != text
        sys.exit("docs/commands.md is stale: run `make docs`" if stale else 0)
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(text)


if __name__ == "__main__":
    main()

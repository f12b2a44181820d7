"""The command line: one file for each group of commands, loaded when its command is used."""

from app.cli.root import main

__all__ = ["main"]

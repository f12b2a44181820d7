"""The facts of the help skill, read from `help_intents.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Intent:
    """One thing that a user may ask.

    `must` is what has to stand in the answer verbatim; `to_do` completes "How do I ...?" and
    `questions` stand alone.
    """

    name: str
    answer: str
    must: tuple[str, ...]
    questions: tuple[str, ...]
    to_do: tuple[str, ...] = ()


def read_intents(path: Path) -> tuple[Intent, ...]:
    tables = tomllib.loads(path.read_text())
    return tuple(
        Intent(
            name,
            table["answer"],
            tuple(table["must"]),
            tuple(table["questions"]),
            tuple(table.get("to_do", ())),
        )
        for name, table in tables.items()
    )


INTENTS = read_intents(Path(__file__).with_suffix(".toml"))

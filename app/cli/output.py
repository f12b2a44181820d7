"""What commands write: tables and JSON on stdout, sizes and times as people read them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_encode))


def print_json_line(value: Any) -> None:
    """One JSON value on a line of its own, for a stream of them."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_encode))


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Left-aligned columns, two spaces between them; the last column is not padded."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = []
    for row in (headers, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    click.echo("\n".join(lines))


def print_labelled(facts: Sequence[tuple[str, str]]) -> None:
    """A line for each fact, its value in the same column; facts without one are left out."""
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        if value:
            click.echo(f"{label.ljust(width)}  {value}")


def format_duration(seconds: float) -> str:
    """The largest fitting unit, rounded down.

    >>> format_duration(59), format_duration(7300), format_duration(86400 * 3)
    ('59 seconds', '2 hours', '3 days')
    """
    for unit, length_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length_s:
            return count(int(seconds // length_s), unit)
    return count(int(seconds), "second")


def format_age(when: datetime) -> str:
    """How long ago `when` was."""
    return f"{format_duration(max(0.0, (datetime.now(UTC) - when).total_seconds()))} ago"


def count(number: int, unit: str) -> str:
    """A number with its noun.

    >>> count(1, "model"), count(2, "model")
    ('1 model', '2 models')
    """
    return f"{number} {unit}" + ("" if number == 1 else "s")

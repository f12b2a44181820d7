"""What was found out about this machine, kept in a file of JSON: results of checks, layouts."""

import json
import os
from pathlib import Path
from typing import Any


def read_table(path: Path) -> dict[str, Any]:
    """The table; empty if nobody wrote it or it is damaged: all of it can be found out again."""
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError):  # ValueError: not JSON, or not even text
        return {}
    return table if isinstance(table, dict) else {}


def write_table(path: Path, table: dict[str, Any]) -> None:
    """Replace the file as a whole. OSError if that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(f".{os.getpid()}")
    partial_path.write_text(json.dumps(table))
    partial_path.replace(path)

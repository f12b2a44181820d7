"""The texts in a directory of safetensors: configurations, chat template, license."""

import json
from pathlib import Path
from typing import Any

from models.errors import InvalidModelFile

_LICENSE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "license.txt")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InvalidModelFile: it cannot be read, or is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidModelFile(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidModelFile(f"{path}: a JSON object is accepted, not {type(found).__name__}")
    return found


def read_chat_template(directory: Path) -> str | None:
    """The Jinja template of a model directory: its own file, else in tokenizer_config.json."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    path = directory / "tokenizer_config.json"
    template = read_json_object(path).get("chat_template") if path.is_file() else None
    if isinstance(template, list):
        named = {
            entry.get("name"): entry.get("template")
            for entry in template
            if isinstance(entry, dict)
        }
        template = named.get("default")
    return template if isinstance(template, str) else None


def read_license(directory: Path) -> str | None:
    """The license that lies beside the weights."""
    for name in _LICENSE_FILES:
        if (directory / name).is_file():
            return (directory / name).read_text(encoding="utf-8", errors="replace")
    return None

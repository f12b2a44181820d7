"""Finds a model's chat template, in its own files or in what is stored with its name."""

import json
from pathlib import Path
from typing import Any

from engine.network.gguf_values import Metadata
from engine.text.chat_template import ChatTemplate
from engine.text.go_chat_template import GoChatTemplate
from models.errors import InvalidModelFile
from models.formats.gguf import GGUFFile
from models.template import effective_template, is_go_template


def make_chat_template(
    source: str | None,
    *,
    bos_token: str = "",
    eos_token: str = "",
    tool_source: str | None = None,
) -> ChatTemplate:
    """A template in the language that its text is written in."""
    if source is not None and is_go_template(source):
        return GoChatTemplate(source)
    return ChatTemplate(source, bos_token=bos_token, eos_token=eos_token, tool_source=tool_source)


def load_gguf_template(file: GGUFFile, override: str | None = None) -> ChatTemplate:
    """The template in a GGUF file's metadata, or the text that replaces it."""
    metadata = Metadata(file.metadata)
    tokens = metadata.strings("tokenizer.ggml.tokens")

    def token(name: str) -> str:
        index = metadata.integer(f"tokenizer.ggml.{name}_token_id", -1)
        return tokens[index] if 0 <= index < len(tokens) else ""

    own = metadata.string("tokenizer.chat_template", "") or None
    return make_chat_template(
        effective_template(override, own),
        bos_token=token("bos"),
        eos_token=token("eos"),
        tool_source=metadata.string("tokenizer.chat_template.tool_use", "") or None,
    )


def read_directory_templates(directory: Path) -> dict[str, str]:
    """The templates of a model directory by name; the one for chats is "default".

    Raises:
        InvalidModelFile: tokenizer_config.json is not JSON.
    """
    named = _read_settings(directory).get("chat_template") or {}
    if isinstance(named, str):
        named = {"default": named}
    elif isinstance(named, list):
        named = {item["name"]: item["template"] for item in named}
    for extra in sorted(directory.glob("additional_chat_templates/*.jinja")):
        named[extra.stem] = extra.read_text(encoding="utf-8")
    alone = directory / "chat_template.jinja"
    if alone.exists():
        named["default"] = alone.read_text(encoding="utf-8")
    return dict(named)


def _read_settings(directory: Path) -> dict[str, Any]:
    path = directory / "tokenizer_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise InvalidModelFile(f"{path}: {error}") from error
    return dict(settings)


def load_directory_template(directory: Path, override: str | None = None) -> ChatTemplate:
    """The template of a model directory, or the text that replaces it.

    Raises:
        InvalidModelFile: tokenizer_config.json is not JSON.
    """
    settings = _read_settings(directory)
    named = read_directory_templates(directory)
    return make_chat_template(
        effective_template(override, named.get("default")),
        bos_token=_token_text(settings.get("bos_token")),
        eos_token=_token_text(settings.get("eos_token")),
        tool_source=named.get("tool_use"),
    )


def _token_text(value: Any) -> str:
    text = value.get("content", "") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""

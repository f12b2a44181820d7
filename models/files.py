"""The files of one model, found: what a loader needs to know of the library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.store.manifest import Format


@dataclass(frozen=True)
class ModelFiles:
    """One model's files and the settings stored with its name.

    paths        GGUF file or its shards in order; empty for "mlx"
    directory    with config.json, *.safetensors and the tokenizer's files; None for "gguf"
    digest       64 hex digits that change with the content (for a path: with size and time)
    adapter      a LoRA adapter's directory or file, to be applied to the model
    template     chat template that replaces the model's own; Jinja, or Go as Ollama writes it
    parameters   defaults of generation options, by Ollama's names
    messages     turns that precede every chat
    """

    name: str
    format: Format
    paths: tuple[Path, ...]
    directory: Path | None
    digest: str
    adapter: Path | None = None
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, Any], ...] = ()
    license: str | None = None

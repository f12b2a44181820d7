"""What a model consists of: named layers (files by digest), where they came from, what they are.

Pure values and their JSON; the store puts them on disk.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from models.errors import InvalidModelFile

Format = Literal["gguf", "mlx"]
Kind = Literal["gguf", "mlx", "adapter"]
"""What a name may lead to: a model in one of two formats, or a LoRA adapter for one."""
Role = Literal[
    "model",
    "shard",
    "projector",
    "config",
    "tokenizer",
    "adapter",
    "template",
    "system",
    "params",
    "messages",
    "license",
    "card",
]

_SCHEMA = 1
_ROLES = frozenset(get_args(Role))
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HINT = "Remove the model with `localllm rm` and pull it again."


@dataclass(frozen=True)
class Layer:
    """One file of a model: its content by `digest` ("sha256:" and 64 hex digits).

    `file_name` is the relative path under which a loader expects it. A GGUF model is one "model"
    layer, or its "shard" layers in order; an MLX model has its weights as "model" layers beside
    "config" and "tokenizer" ones.
    """

    role: Role
    digest: str
    size_bytes: int
    file_name: str


@dataclass(frozen=True)
class Source:
    """The Hub repository, its commit and, for GGUF, the (first) file in it."""

    repo: str
    revision: str
    file: str | None = None


@dataclass(frozen=True)
class Details:
    """What listings show without opening the model; empty or 0 where it is not known."""

    architecture: str = ""
    parameter_count: str = ""
    quantization: str = ""
    context_length: int = 0
    embedding_length: int = 0
    capabilities: tuple[str, ...] = ()
    base_model: str = ""
    """Of an adapter: what it was made for, as its maker wrote it."""


@dataclass(frozen=True)
class Manifest:
    """One model of the library. `created` is the time its name was first pointed at this."""

    name: str
    format: Kind
    layers: tuple[Layer, ...]
    details: Details = field(default_factory=Details)
    source: Source | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def digest(self) -> str:
        """64 hex digits that change whenever a layer does; not with the name or the time."""
        listed = [[layer.role, layer.digest, layer.file_name] for layer in self.layers]
        text = json.dumps([self.format, listed], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Bytes of the distinct blobs."""
        return sum({layer.digest: layer.size_bytes for layer in self.layers}.values())

    def find_layers(self, *roles: Role) -> list[Layer]:
        """The layers of these roles, in the manifest's order."""
        return [layer for layer in self.layers if layer.role in roles]


_DETAIL_NAMES = frozenset(entry.name for entry in fields(Details))


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """The manifest that `text` holds; `where` is how errors call it.

    Raises:
        InvalidModelFile: not a manifest, or one of a later version.
    """
    try:
        stored = json.loads(text)
        if stored["schema"] != _SCHEMA:
            raise InvalidModelFile(
                f"{where}: manifest schema {stored['schema']!r}; {_SCHEMA} is accepted",
                hint="It was written by another version of localllm; update, or pull again.",
            )
        return _from_json(stored)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidModelFile(f"{where}: not a valid manifest: {error!r}", hint=_HINT) from None


def format_manifest(manifest: Manifest) -> str:
    """The JSON text that `parse_manifest` reads back."""
    stored = {"schema": _SCHEMA, **asdict(manifest), "created": manifest.created.isoformat()}
    return json.dumps(stored, indent=1, ensure_ascii=False) + "\n"


def is_digest(text: str) -> bool:
    """`text` is "sha256:" and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None


def _from_json(stored: dict[str, Any]) -> Manifest:
    if stored["format"] not in get_args(Kind):
        raise ValueError(f"format {stored['format']!r}")
    source = stored["source"]
    details = {key: value for key, value in stored["details"].items() if key in _DETAIL_NAMES}
    details["capabilities"] = tuple(details.get("capabilities", ()))
    return Manifest(
        name=str(stored["name"]),
        format=stored["format"],
        layers=tuple(_layer_from_json(layer) for layer in stored["layers"]),
        details=Details(**details),
        source=None if source is None else Source(**source),
        created=datetime.fromisoformat(stored["created"]),
    )


def _layer_from_json(stored: dict[str, Any]) -> Layer:
    layer = Layer(**stored)
    if layer.role not in _ROLES:
        raise ValueError(f"layer role {layer.role!r}")
    if not is_digest(layer.digest):
        raise ValueError(f"layer digest {layer.digest!r}")
    parts = layer.file_name.split("/")
    if "" in parts or "." in parts or ".." in parts or "\\" in layer.file_name:
        raise ValueError(f"layer file name {layer.file_name!r}")
    return layer

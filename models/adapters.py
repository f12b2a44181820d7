"""Which files are a LoRA adapter: mlx-lm's (and `localllm finetune`'s), PEFT's, or one of GGUF."""

import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import InvalidInput, NotFound, Unsupported

Kind = Literal["mlx", "peft", "gguf"]

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAMES: dict[Kind, str] = {
    "mlx": "adapters.safetensors",
    "peft": "adapter_model.safetensors",
}
_PICKLED_NAME = "adapter_model.bin"
_HEAD_BYTES = 65_536
_ADAPTER_MARK = b"general.type" + struct.pack("<IQ", 8, 7) + b"adapter"
_SUPPORTED = (
    f"An adapter is a directory with {CONFIG_NAME} and {' or '.join(WEIGHTS_NAMES.values())} "
    "(mlx-lm's, `localllm finetune`'s, PEFT's), or one GGUF file."
)


@dataclass(frozen=True)
class AdapterFiles:
    """The files of one adapter; GGUF's has no `config`."""

    kind: Kind
    weights: Path
    config: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file."""
        return (self.weights,) if self.config is None else (self.config, self.weights)


def adapter_kind(names: Collection[str]) -> Kind | None:
    """Whose adapter a directory of these file names is, else None.

    >>> adapter_kind(["adapter_config.json", "adapter_model.safetensors", "README.md"])
    'peft'
    """
    if CONFIG_NAME not in names:
        return None
    return next((kind for kind, name in WEIGHTS_NAMES.items() if name in names), None)


def find_adapter(path: Path) -> AdapterFiles:
    """The adapter in the directory or the GGUF file `path`.

    Raises:
        NotFound: nothing there.
        InvalidInput, Unsupported: no adapter, or one whose weights are pickled.
    """
    if not path.exists():
        raise NotFound(f"{path}: no such adapter", hint=_SUPPORTED)
    if path.is_file():
        return AdapterFiles("gguf", path)
    names = {file.name for file in path.iterdir()}
    kind = adapter_kind(names)
    if kind is not None:
        return AdapterFiles(kind, path / WEIGHTS_NAMES[kind], path / CONFIG_NAME)
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return AdapterFiles("gguf", found[0])
    if _PICKLED_NAME in names:
        raise refuse_pickled(str(path))
    raise InvalidInput(f"{path}: no adapter in it", hint=_SUPPORTED)


def is_adapter_file(path: Path) -> bool:
    """A GGUF file that says near its beginning, as converters write it, that it is an adapter."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head.startswith(b"GGUF") and _ADAPTER_MARK in head


def check_adapter_names(names: Collection[str]) -> None:
    """Raise InvalidInput when files of these names are not exactly one adapter."""
    kind = adapter_kind(names)
    is_pair = kind is not None and set(names) == {WEIGHTS_NAMES[kind], CONFIG_NAME}
    is_gguf = len(names) == 1 and all(name.lower().endswith(".gguf") for name in names)
    if not is_pair and not is_gguf:
        raise InvalidInput(f"{', '.join(sorted(names))}: not one adapter", hint=_SUPPORTED)


def refuse_pickled(where: str) -> Unsupported:
    """What to say of weights that only Python's pickle can read, which runs what is in them."""
    return Unsupported(
        f"{where}: the adapter's weights are only there as {_PICKLED_NAME}, which is not read",
        hint="It may hold code. Load it with PEFT and save it with safe_serialization=True.",
    )


def has_pickled_adapter(names: Collection[str]) -> bool:
    """The names are an adapter's whose weights are pickled."""
    return _PICKLED_NAME in names and adapter_kind(names) is None

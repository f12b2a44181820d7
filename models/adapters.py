"""Which LoRA adapters can be used, told by their files: mlx-lm's and `localllm finetune`'s."""

from collections.abc import Collection
from pathlib import Path

from models.errors import InvalidInput, NotFound, Unsupported

WEIGHTS_NAME = "adapters.safetensors"
CONFIG_NAME = "adapter_config.json"
_PEFT_NAMES = frozenset({"adapter_model.safetensors", "adapter_model.bin"})
_SUPPORTED = (
    f"Adapters of mlx-lm and of `localllm finetune` can be used: a directory with {WEIGHTS_NAME} "
    f"and {CONFIG_NAME}."
)


def adapter_kind(names: Collection[str]) -> str | None:
    """ "mlx" or "peft" when these file names are an adapter's, else None.

    >>> adapter_kind(["adapter_config.json", "adapter_model.safetensors", "README.md"])
    'peft'
    """
    if WEIGHTS_NAME in names and CONFIG_NAME in names:
        return "mlx"
    return "peft" if _PEFT_NAMES & set(names) else None


def find_adapter(path: Path) -> tuple[Path, Path]:
    """The two files of the adapter in the directory `path`.

    Raises:
        NotFound: nothing there.
        Unsupported: an adapter of a kind that the engine does not apply.
        InvalidInput: no adapter.
    """
    if not path.exists():
        raise NotFound(f"{path}: no such adapter", hint=_SUPPORTED)
    if path.is_file():
        raise Unsupported(f"{path}: an adapter in one file, such as GGUF's, cannot be used",
                          hint=_SUPPORTED)  # fmt: skip
    kind = adapter_kind({file.name for file in path.iterdir()})
    if kind == "peft":
        raise Unsupported(f"{path}: a PEFT adapter cannot be used", hint=_SUPPORTED)
    if kind is None:
        raise InvalidInput(f"{path}: no adapter in it", hint=_SUPPORTED)
    return path / WEIGHTS_NAME, path / CONFIG_NAME


def check_adapter_names(names: Collection[str]) -> None:
    """Raise Unsupported when files of these names are not exactly an adapter that can be used."""
    if set(names) != {WEIGHTS_NAME, CONFIG_NAME}:
        listed = ", ".join(sorted(names))
        raise Unsupported(f"{listed}: not an adapter that can be used", hint=_SUPPORTED)


def refuse_adapter_repo(repo: str, kind: str) -> Unsupported:
    """What to say of a Hub repository that holds nothing but an adapter."""
    if kind == "mlx":
        return Unsupported(
            f"{repo}: holds a LoRA adapter of mlx-lm, and no model",
            hint=f"Pull the model it was trained on, download {WEIGHTS_NAME} and {CONFIG_NAME} "
            "into a directory, then `localllm run MODEL --adapter DIR`.",
        )
    return Unsupported(
        f"{repo}: holds a PEFT adapter, and no model; PEFT adapters cannot be applied",
        hint=f"Look for a repository with the adapter merged into its model. {_SUPPORTED}",
    )

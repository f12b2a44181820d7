"""Where other programs keep models on this machine, from their own variables and defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")
"""Of the Linux installer's system service."""


@dataclass(frozen=True)
class Places:
    """Directories that exist, each once. Sources: huggingface_hub's `constants`, Ollama's
    `envconfig`, LM Studio's `findLMStudioHome`.
    """

    huggingface: tuple[Path, ...] = ()
    ollama: tuple[Path, ...] = ()
    lmstudio: tuple[Path, ...] = ()


def find_places(environ: Mapping[str, str], home: Path) -> Places:
    """The stores that this user's programs would use; `home` is the user's directory."""
    return Places(
        huggingface=_existing([_hub_cache(environ, home)]),
        ollama=_existing(_ollama(environ, home)),
        lmstudio=_existing(_lm_studio(home)),
    )


def _hub_cache(environ: Mapping[str, str], home: Path) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return _expand(environ[name], home)
    if environ.get("HF_HOME"):
        return _expand(environ["HF_HOME"], home) / "hub"
    cache = environ.get("XDG_CACHE_HOME")
    return (_expand(cache, home) if cache else home / ".cache") / "huggingface" / "hub"


def _ollama(environ: Mapping[str, str], home: Path) -> list[Path]:
    if environ.get("OLLAMA_MODELS"):
        return [_expand(environ["OLLAMA_MODELS"], home)]
    return [home / ".ollama" / "models", _OLLAMA_SERVICE]


def _lm_studio(home: Path) -> list[Path]:
    found = [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]
    try:
        moved = (home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return found
    return [_expand(moved, home) / "models", *found] if moved else found


def _expand(text: str, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else Path(text).absolute()


def _existing(paths: list[Path]) -> tuple[Path, ...]:
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            if path.is_dir():
                found.setdefault(path.resolve(), path)
        except OSError:
            continue
    return tuple(found.values())

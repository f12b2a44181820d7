"""Finds the models that other programs have on this machine. Reads; never writes or connects."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import InvalidInput
from models.local_model import LocalModel, Place, models_in
from models.name import HUB_HOST, ModelName
from models.ollama_store import find_ollama_models
from models.places import Places
from models.store.manifest import Source


@dataclass(frozen=True)
class Scan:
    """What was found, and in words what was not whole or cannot be used."""

    models: tuple[LocalModel, ...]
    problems: tuple[str, ...]


def scan(places: Places) -> Scan:
    """Every model in these places, by place and name."""
    models: list[LocalModel] = []
    problems: list[str] = []
    for found, wrong in _each(places):
        models += sorted(found, key=lambda model: model.name.lower())
        problems += wrong
    return Scan(tuple(models), tuple(problems))


def _each(places: Places) -> Iterator[tuple[list[LocalModel], list[str]]]:
    for root in places.huggingface:
        yield find_cached_models(root)
    for root in places.ollama:
        yield find_ollama_models(root)
    for root in places.lmstudio:
        yield find_lm_studio_models(root)


def find_cached_models(root: Path) -> tuple[list[LocalModel], list[str]]:
    """The models of a Hugging Face cache: of each repository, the revision that `main` means.

        models--<org>--<repo>/refs/main                the commit
        models--<org>--<repo>/snapshots/<commit>/…     links into blobs/

    Source: huggingface_hub, "Manage your cache".
    """
    found: list[LocalModel] = []
    problems: list[str] = []
    for folder in sorted(root.glob("models--*--*")):
        _, org, repo = folder.name.split("--", 2)
        base = f"{HUB_HOST}/{org}/{repo}"
        snapshot = _snapshot(folder)
        if snapshot is None or not _is_name(base):
            continue
        models, wrong = models_in(snapshot, base, "huggingface")
        problems += wrong
        for model in models:
            first = model.files[0].path.relative_to(snapshot) if model.format == "gguf" else None
            file = None if first is None else first.as_posix()
            found.append(replace(model, source=Source(f"{org}/{repo}", snapshot.name, file)))
    return found, problems


def find_lm_studio_models(root: Path) -> tuple[list[LocalModel], list[str]]:
    """The models of LM Studio's folder: `<publisher>/<repo>/` with GGUF files or safetensors."""
    found: list[LocalModel] = []
    problems: list[str] = []
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
        base = f"{folder.parent.name}/{folder.name}"
        if folder.parent.name.startswith(".") or folder.name.startswith("."):
            continue
        place: Place = "lmstudio"
        models, wrong = models_in(folder, base if _is_name(base) else folder.name, place)
        found += [model for model in models if _is_name(model.name)]
        problems += wrong
    return found, problems


def find_owner(name: ModelName, places: Places) -> Place | None:
    """Who seems to have a model of this name, judged by one look at where it would be."""
    hub = name if name.is_hub else name.as_hub()
    tail = (name.host, name.namespace, name.model, name.tag)
    if any(root.joinpath("manifests", *tail).is_file() for root in places.ollama):
        return "ollama"
    if hub is None:
        return None
    folder = f"models--{hub.namespace}--{hub.model}"
    if any(_snapshot(root / folder) is not None for root in places.huggingface):
        return "huggingface"
    if any((root / hub.namespace / hub.model).is_dir() for root in places.lmstudio):
        return "lmstudio"
    return None


def _snapshot(folder: Path) -> Path | None:
    """The directory of `main`, else of the revision that was fetched last."""
    snapshots = folder / "snapshots"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    if commit and "/" not in commit and (snapshots / commit).is_dir():
        return snapshots / commit
    others = [path for path in snapshots.glob("*") if path.is_dir()]
    return max(others, key=lambda path: path.stat().st_mtime, default=None)


def _is_name(text: str) -> bool:
    try:
        ModelName.parse(text)
    except InvalidInput:
        return False
    return True

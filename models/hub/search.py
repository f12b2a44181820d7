"""Searches the Hub for models that can be loaded here, with what a pull would bring."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import AccessDenied, InvalidInput, NotFound, Unsupported
from models.fit import Fit, rate_fit, total_memory_bytes, weight_budget_bytes
from models.hub.choose import choose_files
from models.store.manifest import Kind

if TYPE_CHECKING:
    from models.hub.snapshot import Found, Hub

_NUM_REQUESTS = 4


@dataclass(frozen=True)
class SearchResult:
    """A repository and the model that a plain pull of it takes. `weight_bytes` 0: gated, so that
    nothing more is known before its owner's consent.
    """

    repo: str
    format: Kind | None
    label: str
    weight_bytes: int
    fit: Fit | None
    num_downloads: int


def search_hub(hub: "Hub", words: str, *, max_models: int = 10) -> list[SearchResult]:
    """The most downloaded loadable repositories about `words`.

    Raises:
        Unreachable, Busy: the network or the server fails.
    """
    ask = [lambda tag=tag: hub.search(words, tag, max_models=2 * max_models) for tag in _TAGS]
    with ThreadPoolExecutor(_NUM_REQUESTS) as pool:
        lists = list(pool.map(_call, ask))
        found = {entry.repo: entry for listed in lists for entry in listed}
        ordered = sorted(found.values(), key=lambda entry: -entry.num_downloads)
        looked_at = pool.map(lambda entry: _look(hub, entry), ordered[: 2 * max_models])
        results = [result for result in looked_at if result is not None]
    return results[:max_models]


_TAGS = ("gguf", "mlx")


def _call(ask: "Callable[[], Iterable[Found]]") -> "list[Found]":
    return list(ask())


def _look(hub: "Hub", entry: "Found") -> SearchResult | None:
    """What a pull of the repository would take; None when it holds nothing to load."""
    memory_bytes = total_memory_bytes()
    try:
        snapshot = hub.snapshot(entry.repo)
        budget_bytes = weight_budget_bytes(memory_bytes)
        choice = choose_files(snapshot.files, snapshot.repo, None, max_bytes=budget_bytes)
    except AccessDenied:
        return SearchResult(entry.repo, None, "", 0, None, entry.num_downloads)
    except (Unsupported, InvalidInput, NotFound):
        return None
    weight_bytes = choice.weight_bytes
    return SearchResult(
        snapshot.repo,
        choice.format,
        choice.label,
        weight_bytes,
        rate_fit(weight_bytes, memory_bytes),
        entry.num_downloads,
    )

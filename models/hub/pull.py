"""Brings a model from the Hugging Face Hub into the library.

Files go straight into our blobs, named by their sha256, and not through the Hugging Face cache.
The cache is its owner's to clear: a name of ours that led there would break without our doing,
and a copy beside it would store everything twice. It names files by repository and deletes an
interrupted download of a file that has moved on; our partial files are named by content, so they
serve every repository and revision that has it. What the cache already holds is not fetched
again but hard-linked.

Bytes come over plain HTTP ranges, also from Xet-backed storage, whose bridge serves them: a range
can be resumed at any byte and checked against one digest, and no file is too long for it.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models import fit
from models.adapters import is_adapter_file
from models.bundled import BUNDLED_NAME
from models.errors import NotFound
from models.hub.catalogue import find_entry, near_entries
from models.hub.choose import Choice, choose_files
from models.name import DEFAULT_TAG, ModelName
from models.store.disk import check_space
from models.store.library import Library
from models.store.manifest import Layer, Manifest, Source

if TYPE_CHECKING:
    from models.hub.snapshot import Hub, HubFile, Snapshot

_NO_SPACE = "Free some space, pull a smaller quantization, or set LOCALLLM_HOME elsewhere."
_EVENT_S = 0.1
_CANCEL_S = 5.0  # a connection that hangs is left to its own time-out


@dataclass(frozen=True)
class PullProgress:
    """One line of a pull, in the words of Ollama's API.

    With `total_bytes` it is about `file`, of which `completed_bytes` are here; else `status` says
    all. `digest` is "sha256:..." where it is known. The last status is "success".
    """

    status: str
    digest: str | None = None
    total_bytes: int = 0
    completed_bytes: int = 0
    file: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a name's model comes from and the name it will have here."""

    name: ModelName
    repo: str
    wanted: str | None


def find_target(name: ModelName) -> Target:
    """What to pull for `name`: a catalogue entry or a Hub repository.

    Raises:
        NotFound: neither; the hint lists near catalogue names.
    """
    entry = find_entry(name)
    if entry is not None:
        return Target(name, entry.repo, entry.quantization)
    hub_name = name if name.is_hub else name.as_hub()
    if hub_name is None:
        near = near_entries(name.short)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise NotFound(
            f"model '{name.short}' is not in the catalogue",
            hint=f"{meant}Name a repository of the Hugging Face Hub: ORG/REPO or ORG/REPO:QUANT.",
        )
    wanted = None if hub_name.tag == DEFAULT_TAG else hub_name.tag
    return Target(hub_name, hub_name.repo, wanted)


def pull(
    name: ModelName,
    library: Library,
    *,
    token: str | None = None,
    endpoint: str | None = None,
) -> Generator[PullProgress, None, None]:
    """Fetch the model of `name`, yielding what is going on until "success".

    Closing the iterator cancels: what has been fetched is kept, and the next pull of the same
    content, under whatever name, goes on there. A name points to a model only when every file is
    here, verified by size and sha256, and its headers are readable.

    `token` defaults to HF_TOKEN or the saved login, `endpoint` to HF_ENDPOINT.

    Raises:
        UserError: naming what could not be had, and what to do.
    """
    if name.matches(BUNDLED_NAME) and library.find(name) is not None:
        yield PullProgress("success")
        return
    yield from pull_target(find_target(name), library, token=token, endpoint=endpoint)


def pull_target(
    target: Target,
    library: Library,
    *,
    token: str | None = None,
    endpoint: str | None = None,
) -> Generator[PullProgress, None, None]:
    """As `pull`, with the name and its source given apart."""
    events: queue.SimpleQueue[PullProgress | BaseException | None] = queue.SimpleQueue()
    cancelled = threading.Event()
    run = _Run(target, library, events, cancelled, token, endpoint)
    thread = threading.Thread(target=run.work, name=f"pull {target.name}", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        cancelled.set()
        thread.join(_CANCEL_S)


class _Run:
    """One pull, in a thread of its own; what happens goes into `events`, None at the end."""

    def __init__(
        self,
        target: Target,
        library: Library,
        events: "queue.SimpleQueue[PullProgress | BaseException | None]",
        cancelled: threading.Event,
        token: str | None,
        endpoint: str | None,
    ) -> None:
        self.target = target
        self.library = library
        self.events = events
        self.cancelled = cancelled
        self.token = token
        self.endpoint = endpoint
        self.last_event_s = 0.0

    def work(self) -> None:
        """Pull, and hand on whatever comes of it."""
        try:
            self.run()
            self.events.put(None)
        except BaseException as error:  # noqa: BLE001  # raised again by the iterator
            self.events.put(error)

    def say(self, status: str) -> None:
        self.events.put(PullProgress(status))

    def run(self) -> None:
        from models.hub.snapshot import Hub

        self.say("pulling manifest")
        hub = Hub(
            endpoint=self.endpoint, token=self.token, cancelled=self.cancelled, on_wait=self.say
        )
        snapshot = hub.snapshot(self.target.repo)
        choice = self.choose(snapshot)
        planned = [f"sha256:{file.sha256}" for _, file in choice.files if file.sha256]
        with self.library.pinned(planned) as pin:
            digests = self.fetch_all(hub, snapshot, choice, pin)
            self.say("verifying sha256 digest")
            manifest = self.make_manifest(snapshot, choice, digests)
            former = self.library.find(self.target.name)
            if former is None or former.digest != manifest.digest:
                self.say("writing manifest")
                self.library.write(manifest)
        self.say("success")

    def choose(self, snapshot: "Snapshot") -> Choice:
        """What to fetch, for this machine's memory; says so where that decides or is short."""
        memory_bytes = fit.total_memory_bytes()
        wanted, repo = self.target.wanted, snapshot.repo
        budget_bytes = fit.weight_budget_bytes(memory_bytes)
        choice = choose_files(snapshot.files, repo, wanted, max_bytes=budget_bytes)
        size = f"{choice.weight_bytes / 1e9:.1f} GB of weights"
        if fit.rate_fit(choice.weight_bytes, memory_bytes) != "fits":
            self.say(f"{size} are much for this machine's {memory_bytes / 1e9:.1f} GB of memory")
        elif wanted is None and choice != choose_files(snapshot.files, repo, None):
            self.say(f"choosing {choice.label}: a larger file would not fit into memory")
        return choice

    def fetch_all(
        self, hub: "Hub", snapshot: "Snapshot", choice: Choice, pin: Callable[[str], None]
    ) -> "dict[HubFile, str]":
        """Each file's digest, once all contents are in the store; small files first."""
        from models.hub.download import Fetcher

        fetcher = Fetcher(
            hub, snapshot, self.library.blobs, self.cancelled, pin, self.progress, self.say
        )
        files = [file for _, file in choice.files]
        check_space(self.library.root, sum(map(fetcher.missing_bytes, files)), _NO_SPACE)
        weights = choice.weights
        order = [file for file in files if file not in weights] + weights
        return {file: fetcher.fetch(file) for file in order}

    def progress(self, file: "HubFile", completed_bytes: int) -> None:
        """Hand on how far a file is, ten times a second at most, and always that it is done."""
        now_s = time.monotonic()
        if completed_bytes < file.size_bytes and now_s - self.last_event_s < _EVENT_S:
            return
        self.last_event_s = now_s
        digest = f"sha256:{file.sha256}" if file.sha256 else None
        label = file.sha256[:12] if file.sha256 else file.base_name
        self.events.put(
            PullProgress(
                f"pulling {label}", digest, file.size_bytes, completed_bytes, file.base_name
            )
        )

    def make_manifest(
        self, snapshot: "Snapshot", choice: Choice, digests: "dict[HubFile, str]"
    ) -> Manifest:
        """The model's manifest, with details read from the files themselves."""
        from models.stored_details import details_of

        layers = tuple(
            Layer(role, digests[file], file.size_bytes, file.base_name)
            for role, file in choice.files
        )
        first = choice.weights[0].path if choice.format == "gguf" else None
        kind = choice.format
        if len(layers) == 1 and is_adapter_file(self.library.layer_path(layers[0])):
            kind, layers = "adapter", (replace(layers[0], role="adapter"),)
        manifest = Manifest(
            name=_spelt_as_there(self.target.name, snapshot.repo, choice.label).display,
            format=kind,
            layers=layers,
            source=Source(snapshot.repo, snapshot.commit, first),
        )
        manifest = replace(manifest, details=details_of(manifest, self.library))
        if kind == "adapter":
            self.say(f"a LoRA adapter for {manifest.details.base_model or 'an unnamed model'}")
        return manifest


def _spelt_as_there(name: ModelName, repo: str, label: str) -> ModelName:
    """A Hub name in the repository's own spelling, which differs in case at most."""
    if not name.is_hub or name.repo.lower() != repo.lower():
        return name
    namespace, _, model = repo.partition("/")
    tag = label if label.lower() == name.tag.lower() else name.tag
    return replace(name, namespace=namespace, model=model, tag=tag)

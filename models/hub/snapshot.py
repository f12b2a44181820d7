"""The Hugging Face Hub: what a repository holds, byte ranges of its files, and its errors.

Requests go through huggingface_hub's session, headers and error types (endpoint, token, proxies
and offline mode mean what they mean there). Its own retries are not used: they sleep for as long
as a server asks, in silence, and cannot be cancelled. Importing this imports huggingface_hub.
"""

import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from models.errors import InvalidInput, Unreachable
from models.hub.errors import as_user_error, is_passing, retry_after_s, summarize_failure

T = TypeVar("T")

constants.HF_HUB_DISABLE_TELEMETRY = True
"""Else it asks the Hub for a list of programs first, to tell it which of them is calling."""

RETRY_BASE_S = 0.5
RETRY_MAX_S = 30.0
MAX_TRIES = 6
MAX_RETRY_AFTER_S = 300.0
_HEX = re.compile(r"[0-9a-f]{40,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"[^\\\x00-\x1f]{1,1024}")
_DEFAULT_ENDPOINT = "https://huggingface.co"  # where HF_ENDPOINT is set to nothing
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)


@dataclass(frozen=True)
class HubFile:
    """One file of a repository: its content by sha256 (large files) or by git's own sha1."""

    path: str
    size_bytes: int
    git_oid: str
    sha256: str | None

    @property
    def base_name(self) -> str:
        """The path without its folders."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]


@dataclass(frozen=True)
class Found:
    """A repository that a search found."""

    repo: str
    num_downloads: int
    tags: tuple[str, ...]


class Cancelled(Exception):
    """Somebody set the event that a request was waiting beside."""


class Hub:
    """One endpoint with one user's token. Safe to use from several threads.

    `endpoint` defaults to HF_ENDPOINT, else huggingface.co; `token` to HF_TOKEN or the one that
    `hf auth login` saved. Setting `cancelled` makes waiting requests raise `Cancelled`.
    `on_wait` is told why and for how many seconds a request waits before it is tried again.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | None = None,
        cancelled: threading.Event | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.endpoint = (endpoint or constants.ENDPOINT or _DEFAULT_ENDPOINT).rstrip("/")
        _open_session()
        self.headers = build_hf_headers(token=token, library_name="localllm")
        self._api = HfApi(endpoint=self.endpoint, token=token, library_name="localllm")
        self._cancelled = cancelled or threading.Event()
        self._on_wait = on_wait

    def snapshot(self, repo: str, revision: str = "main") -> Snapshot:
        """The files of `repo` (org/name) at the commit that `revision` now means.

        Raises:
            NotFound: no such repository or revision, or it is private and the token is not enough.
            AccessDenied: gated, and this user has not been let in.
            Unreachable, Busy: the network or the server fails for longer than is retried.
        """

        def ask() -> Snapshot:
            with self._believing(repo):
                found = self._api.model_info(repo, revision=revision, timeout=30.0)
                name, commit = found.id, _checked(found.sha, _HEX)
                return Snapshot(name, commit, tuple(self._tree(name, commit)))

        return self.retrying(ask, repo)

    def search(self, words: str, tag: str, *, max_models: int = 20) -> list[Found]:
        """Repositories about `words` that carry `tag` ("gguf", "mlx"), most downloaded first."""
        query = {
            "search": words,
            "filter": tag,
            "sort": "downloads",
            "direction": "-1",
            "limit": str(max_models),
        }
        url = f"{self.endpoint}/api/models?{urlencode(query)}"

        def ask() -> list[Found]:
            with self._believing(words):
                return [
                    Found(entry["id"], entry.get("downloads", 0), tuple(entry.get("tags", ())))
                    for entry in self._get(url).json()
                ]

        return self.retrying(ask, words)

    @contextmanager
    def open_range(
        self, repo: str, commit: str, path: str, start: int, stop: int
    ) -> Iterator[Iterator[bytes]]:
        """The bytes `start:stop` of a file, in pieces as they arrive.

        The token goes to the endpoint and not to the storage it redirects to. A server that
        ignores ranges is read from the file's start and what was not asked for is dropped.
        """
        url = f"{self.endpoint}/{repo}/resolve/{quote(commit, safe='')}/{quote(path)}"
        wanted = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with get_session().stream(
            "GET", url, headers=self.headers | wanted, timeout=_TIMEOUT
        ) as response:
            hf_raise_for_status(response)
            position = _first_byte(response, start)
            yield _window(response.iter_bytes(), position, start, stop)

    def retrying(self, ask: Callable[[], T], what: str) -> T:
        """`ask()`, tried again while the network or the server fails in a passing way.

        Raises:
            UserError: the failure lasts, or is not of the passing kind; named after `what`.
            Cancelled: the event was set.
        """
        tries = 0
        while True:
            self.check_cancelled()
            try:
                return ask()
            except (HfHubHTTPError, httpx2.HTTPError, OfflineModeIsEnabled) as error:
                tries += 1
                self.wait_after(error, tries, what)

    def wait_after(self, error: Exception, tries: int, what: str) -> None:
        """Wait until the request that failed with `error` may be tried again.

        Raises:
            UserError: it may not, since it has failed `tries` times or will always.
            Cancelled: the event was set meanwhile.
        """
        wait_s = retry_after_s(error)
        if not is_passing(error) or tries >= MAX_TRIES or (wait_s or 0.0) > MAX_RETRY_AFTER_S:
            raise as_user_error(error, what, self.endpoint, has_token=self.has_token) from error
        if wait_s is None:
            wait_s = min(RETRY_BASE_S * 2 ** (tries - 1), RETRY_MAX_S) * random.uniform(0.75, 1.25)
        self._on_wait(f"{summarize_failure(error)}, trying again in {wait_s:.0f} s")
        if self._cancelled.wait(wait_s):
            raise Cancelled

    @property
    def has_token(self) -> bool:
        """Requests carry a user's token."""
        return "authorization" in self.headers

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the event is set."""
        if self._cancelled.is_set():
            raise Cancelled

    def _tree(self, repo: str, commit: str) -> Iterator[HubFile]:
        url: str | None = f"{self.endpoint}/api/models/{repo}/tree/{commit}?recursive=true"
        while url is not None:
            response = self._get(url)
            for found in response.json():
                if found["type"] == "file":
                    yield _parse_file(found)
            next_url = response.links.get("next", {}).get("url")
            url = next_url and self._on_endpoint(next_url)

    @contextmanager
    def _believing(self, what: str) -> Iterator[None]:
        """Take an answer apart; one that is not the Hub's becomes an error about `what`."""
        try:
            yield
        except HFValidationError as error:
            raise InvalidInput(f"{what}: not a Hub repository: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unreachable(
                f"{what}: {self.endpoint} does not answer as the Hugging Face Hub does: {error!r}",
                hint="A proxy or a login page may be in the way, or HF_ENDPOINT is wrong.",
            ) from None

    def _get(self, url: str) -> httpx2.Response:
        response = get_session().get(url, headers=self.headers, timeout=_TIMEOUT)
        hf_raise_for_status(response)
        return response

    def _on_endpoint(self, url: str) -> str:
        """A page's address on our endpoint, wherever a mirror says it is: the token goes there."""
        parts = urlsplit(url)
        return f"{self.endpoint}{parts.path}?{parts.query}"


def _open_session() -> None:
    """Open huggingface_hub's session, where proxies are read from the environment.

    Raises:
        InvalidInput: one of them is of no use.
    """
    try:
        get_session()
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise InvalidInput(
            f"the proxy in the environment cannot be used: {error}",
            hint="HTTPS_PROXY, HTTP_PROXY and ALL_PROXY take http://HOST:PORT; SOCKS is not known. "
            "NO_PROXY names hosts to reach without.",
        ) from None


def _parse_file(found: dict[str, Any]) -> HubFile:
    """One entry of a tree. Digests become file names here, so nothing else is let through."""
    lfs = found.get("lfs")
    sha256 = None if lfs is None else _checked(lfs["oid"], _SHA256)
    size_bytes, path = found["size"], _checked(found["path"], _PATH)
    if type(size_bytes) is not int or size_bytes < 0:
        raise ValueError(f"size {size_bytes!r} of {path}")
    return HubFile(path, size_bytes, _checked(found["oid"], _HEX), sha256)


def _checked(text: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(f"{text!r:.80} does not match {pattern.pattern}")
    return text


def _first_byte(response: httpx2.Response, start: int) -> int:
    """Position in the file at which the body begins."""
    if response.status_code != 206:
        return 0
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    if unit != "bytes" or first != str(start):
        raise httpx2.RemoteProtocolError(f"asked for bytes from {start}, got {unit} {rest}")
    return start


def _window(pieces: Iterator[bytes], position: int, start: int, stop: int) -> Iterator[bytes]:
    """The part of a body beginning at `position` that lies in `start:stop`."""
    for piece in pieces:
        wanted = piece[max(start - position, 0) : stop - position]
        position += len(piece)
        if wanted:
            yield wanted
        if position >= stop:
            return

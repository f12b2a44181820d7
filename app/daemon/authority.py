"""Which key a request brings, and whether that is enough for what it asks."""

from pathlib import Path

from starlette.datastructures import Headers

from app.keys import ApiKey, Scope, find_key, read_keys
from models.errors import UserError

_OPEN_PATHS = frozenset({"/", "/api/version", "/health"})
"""Say only that we are here, and are asked by whoever waits for it."""
_MANAGING_PREFIXES = ("/api/blobs/", "/api/user/")
_MANAGING_PATHS = frozenset(
    {"/api/create", "/api/copy", "/api/delete", "/api/pull", "/api/push", "/api/signout"}
)


class Unauthorized(UserError):
    """No key, or one that is not known."""

    status = 401


class Forbidden(UserError):
    """A key that is good, but not for this."""

    status = 403


class Authority:
    """Reads the keys' file anew when it changes, so that a removed key is refused at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[ApiKey, ...] = ()
        self._read_at: tuple[int, int] | None = None

    def check(self, method: str, path: str, query: bytes, headers: Headers) -> str | None:
        """The name of the request's key; None where no key is asked for.

        Raises:
            Unauthorized, Forbidden: the request is to be refused.
            StorageError: the keys cannot be read.
        """
        keys = self._current_keys()
        if not keys or method == "OPTIONS" or (path in _OPEN_PATHS and not query):
            return None
        key = find_key(keys, _secret(headers))
        if key is None:
            raise Unauthorized(
                "unauthorized: a valid API key is needed",
                hint="send it as `Authorization: Bearer KEY`; `localllm key add NAME` makes one",
            )
        if not key.may(_needed_scope(path)):
            raise Forbidden(
                f"the key '{key.name}' may not do this: it has the scope {key.scope}",
                hint="`localllm key add NAME --scope manage` makes one that may",
            )
        return key.name

    def _current_keys(self) -> tuple[ApiKey, ...]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._keys, self._read_at = (), None
            return ()
        if self._read_at != (found.st_mtime_ns, found.st_ino):
            self._keys = read_keys(self._path)
            self._read_at = (found.st_mtime_ns, found.st_ino)
        return self._keys


def _needed_scope(path: str) -> Scope:
    managing = path.rstrip("/") in _MANAGING_PATHS or path.startswith(_MANAGING_PREFIXES)
    return "manage" if managing else "infer"


def _secret(headers: Headers) -> str:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return headers.get("x-api-key", "").strip()

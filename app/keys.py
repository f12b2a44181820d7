"""API keys: who may ask the daemon for what. The file holds their hashes, never the keys."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from models.errors import InvalidInput, NotFound, StorageError

Scope = Literal["infer", "manage"]
SCOPES: tuple[Scope, ...] = ("infer", "manage")
PREFIX = "llm-"


@dataclass(frozen=True)
class ApiKey:
    """`infer` may list models and ask them; `manage` may change the library too.

    A plain hash is enough: nobody guesses 256 random bits.
    """

    name: str
    scope: Scope
    sha256: str
    created: str
    """RFC 3339."""

    def may(self, scope: Scope) -> bool:
        """Whether it is good for requests of `scope`."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of the file; none where there is no file.

    Raises:
        StorageError: it cannot be read or is damaged: nobody is let in for that.
    """
    try:
        return tuple(ApiKey(**each) for each in json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(
            f"{path} cannot be read: {error}", hint="repair or remove it, then add keys again"
        ) from error


def add_key(path: Path, name: str, scope: Scope) -> str:
    """Make a key and store its hash; the key itself, which is shown once.

    Raises:
        InvalidInput: the name is empty or taken.
    """
    keys = read_keys(path)
    if not name.strip() or not name.isprintable():
        raise InvalidInput(f"{name!r} is not a name for a key", hint="say whose or what it is for")
    if any(key.name == name for key in keys):
        raise InvalidInput(f"there is a key {name!r}", hint=f"`localllm key rm {name}` removes it")
    secret = PREFIX + secrets.token_urlsafe(32)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    _write(path, [*keys, ApiKey(name, scope, _hash(secret), created)])
    return secret


def remove_key(path: Path, name: str) -> None:
    """Forget a key; whoever uses it is refused from then on.

    Raises:
        NotFound: there is none of that name.
    """
    keys = read_keys(path)
    if not any(key.name == name for key in keys):
        raise NotFound(f"there is no key {name!r}", hint="`localllm key list` lists them")
    _write(path, [key for key in keys if key.name != name])


def find_key(keys: Iterable[ApiKey], secret: str) -> ApiKey | None:
    """The key that `secret` is; the time taken does not depend on which, or how nearly."""
    digest = _hash(secret)
    found = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return found[0] if found else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _write(path: Path, keys: Iterable[ApiKey]) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch(mode=0o600)
        aside.write_text(json.dumps([asdict(key) for key in keys], indent=1), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error

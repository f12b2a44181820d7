"""Which hosts and web pages may talk to the daemon (DNS rebinding, cross-origin requests)."""

import ipaddress
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_ORIGINS = (
    *(f"{scheme}://{host}" for scheme in ("http", "https") for host in ("localhost", "127.0.0.1")),
    *(f"{scheme}://0.0.0.0" for scheme in ("http", "https")),
    *(f"{scheme}://[::1]" for scheme in ("http", "https")),
)
APP_SCHEMES = frozenset(
    {
        "app",
        "file",
        "tauri",
        "vscode-webview",
        "vscode-file",
        "chrome-extension",
        "moz-extension",
        "safari-web-extension",
    }
)
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-Api-Key, OpenAI-Beta, "
    "Anthropic-Version, Anthropic-Beta, X-Stainless-Arch, X-Stainless-Async, "
    "X-Stainless-Custom-Poll-Interval, X-Stainless-Helper-Method, X-Stainless-Lang, "
    "X-Stainless-Os, X-Stainless-Package-Version, X-Stainless-Poll-Helper, "
    "X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, "
    "X-Stainless-Timeout"
)
_ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_allowed_host(header: str, hostname: str) -> bool:
    """Whether a `Host` header means this machine; a name that a stranger's DNS serves does not.

    >>> is_allowed_host("127.0.0.1:11434", "box"), is_allowed_host("evil.example", "box")
    (True, False)
    """
    try:
        host = (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in {"", "localhost", hostname.lower()} or host.endswith(_LOCAL_SUFFIXES)
    return address.is_loopback or address.is_private or address.is_unspecified


def is_allowed_origin(origin: str, host: str, extra: Sequence[str]) -> bool:
    """Whether a page of `origin` may call us: ours, local, an app's, or one of `extra`.

    >>> is_allowed_origin("http://localhost:3000", "127.0.0.1:11434", ())
    True
    >>> is_allowed_origin("https://evil.example", "127.0.0.1:11434", ("https://*.mine.example",))
    False
    """
    origin = origin.lower()
    scheme, _, authority = origin.partition("://")
    if scheme in APP_SCHEMES or authority == host.lower():
        return True
    if origin in LOCAL_ORIGINS or origin.rpartition(":")[0] in LOCAL_ORIGINS:
        return True
    return any(fnmatchcase(origin, pattern.lower()) for pattern in extra)


class Gate:
    """ASGI middleware: refuses foreign hosts and origins, answers CORS preflights.

    Hosts are checked only where `check_host` says so, that is behind a loopback address.
    """

    def __init__(self, app: ASGIApp, *, check_host: bool, origins: Sequence[str]) -> None:
        self._app = app
        self._check_host = check_host
        self._origins = origins
        self._hostname = socket.gethostname()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._check_host and not is_allowed_host(host, self._hostname):
            await Response(status_code=403)(scope, receive, send)
        elif origin is None:
            await self._without_origin(scope, receive, send)
        elif not is_allowed_origin(origin, host, self._origins):
            await Response(status_code=403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_preflight(origin))(scope, receive, send)
        else:
            await self._app(scope, receive, _with_origin(send, origin))

    async def _without_origin(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = Response(status_code=204) if scope["method"] == "OPTIONS" else self._app
        await app(scope, receive, send)


def _preflight(origin: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": _ALLOWED_METHODS,
        "access-control-allow-headers": _ALLOWED_HEADERS,
        "access-control-max-age": "43200",
        "vary": "Origin",
    }


def _with_origin(send: Send, origin: str) -> Send:
    async def send_with_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_origin

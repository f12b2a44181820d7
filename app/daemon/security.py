"""Refuses requests of foreign hosts, of foreign web pages and without a key, before any route."""

import socket
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.daemon.addresses import is_allowed_host, is_allowed_origin
from app.daemon.authority import Authority
from app.daemon.errors import error_reply
from models.errors import UserError

_ALLOWED_HEADERS = (
    "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-Api-Key, OpenAI-Beta, "
    "Anthropic-Version, Anthropic-Beta, X-Stainless-Arch, X-Stainless-Async, "
    "X-Stainless-Custom-Poll-Interval, X-Stainless-Helper-Method, X-Stainless-Lang, "
    "X-Stainless-Os, X-Stainless-Package-Version, X-Stainless-Poll-Helper, "
    "X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, "
    "X-Stainless-Timeout"
)
_ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"


class Gate:
    """ASGI middleware: refuses foreign hosts, origins and keys, answers CORS preflights.

    Hosts are checked only where `check_host` says so, that is behind a loopback address. What it
    lets through knows its `client`: the name of its key, else the address it came from.
    """

    def __init__(
        self, app: ASGIApp, *, check_host: bool, origins: Sequence[str], authority: Authority
    ) -> None:
        self._app = app
        self._authority = authority
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
            await self._check_key(scope, receive, send, headers)
        elif not is_allowed_origin(origin, host, self._origins):
            await Response(status_code=403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_preflight(origin))(scope, receive, send)
        else:
            await self._check_key(scope, receive, _with_origin(send, origin), headers)

    async def _check_key(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers
    ) -> None:
        method, path = scope["method"], scope["path"]
        try:
            name = self._authority.check(method, path, scope["query_string"], headers)
        except UserError as error:
            await error_reply(path, error)(scope, receive, send)
            return
        address = scope.get("client") or ("",)
        scope.setdefault("state", {})["client"] = f"key {name}" if name else str(address[0])
        app = Response(status_code=204) if method == "OPTIONS" else self._app
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

"""Gives every HTTP request an id and a line in the log, whoever answers it."""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.daemon.request_id import HEADER, begin_request, current_request_id, end_request

log = logging.getLogger("localllm.requests")

CLIENT_LEFT = 499
"""What the log says of a request whose client left before the answer began."""
_MAX_CLIENT_ID = 200


class RequestLog:
    """ASGI middleware. What only looks (GET, HEAD) is logged at the level DEBUG."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = time.monotonic()
        status = CLIENT_LEFT

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = current_request_id()
            await send(message)

        token = begin_request()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _log(scope, status, time.monotonic() - begun_s)
            end_request(token)


def _log(scope: Scope, status: int, duration_s: float) -> None:
    level = logging.DEBUG if scope["method"] in ("GET", "HEAD") else logging.INFO
    level = logging.WARNING if status >= 500 else level
    if not log.isEnabledFor(level):
        return
    fields = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_s": round(duration_s, 6),
        "client": scope.get("state", {}).get("client") or (scope.get("client") or ("",))[0],
    }
    theirs = Headers(scope=scope).get(HEADER)
    if theirs:
        fields["client_request_id"] = theirs[:_MAX_CLIENT_ID]
    log.log(level, "request", extra={"fields": fields})

"""HTTP responses that take long: whoever works on one is stopped when its client leaves."""

import asyncio
from typing import NoReturn

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.daemon.encoder import compact


class JSONReply(JSONResponse):
    """One JSON object in UTF-8, typed as Ollama types it."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: object) -> bytes:
        """Without spaces."""
        return compact(content)


class WatchedReply(Response):
    """A response made by `answer`, which is cancelled when the client leaves."""

    def __init__(self, media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._watching: asyncio.Future[None] | None = None
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for as long as the client stays."""
        self._watching = asyncio.ensure_future(_disconnected(receive))
        working = asyncio.ensure_future(self.answer(scope, send))
        try:
            await asyncio.wait({working, self._watching}, return_when=asyncio.FIRST_COMPLETED)
            if self._watching.cancelled():
                await working
        finally:
            self._watching.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
        if not working.cancelled():
            working.result()

    async def answer(self, scope: Scope, send: Send) -> None:
        """Send the response, by `send_whole` or by `send_part` and `send_end`."""
        raise NotImplementedError

    @property
    def has_begun(self) -> bool:
        """Whether the status is sent and cannot be another any more."""
        return self._has_begun

    async def send_whole(self, reply: Response, scope: Scope, send: Send) -> None:
        """Another response instead of a stream."""
        self._stop_watching()
        await reply(scope, _never, send)

    async def send_part(self, body: bytes, send: Send) -> None:
        """More of the stream."""
        await self._begin(send)
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def send_end(self, body: bytes, send: Send) -> None:
        """The last of the stream."""
        await self._begin(send)
        self._stop_watching()
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _begin(self, send: Send) -> None:
        if not self._has_begun:
            self._has_begun = True
            assert self.media_type is not None
            headers = [
                (b"content-type", self.media_type.encode()),
                (b"cache-control", b"no-cache"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})

    def _stop_watching(self) -> None:
        """The end of a response looks like the client's leaving."""
        assert self._watching is not None
        self._watching.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> NoReturn:
    raise AssertionError("nothing is received here")

"""HTTP responses that follow an answer while it is made, and stop it when the client leaves."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.daemon.answer import Answering
from app.daemon.encoder import Encoder, Times, compact
from app.protocol import Delta, Done, Progress, RequestEvent, Started
from models.errors import UserError

log = logging.getLogger("localllm.daemon")


class JSONReply(JSONResponse):
    """One JSON object in UTF-8, typed as Ollama types it."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: object) -> bytes:
        """Without spaces."""
        return compact(content)


class AnswerReply(Response):
    """Streams or gathers an answer. Errors before the first byte have a status of their own."""

    def __init__(self, answering: Answering, encoder: Encoder, *, stream: bool) -> None:
        super().__init__()
        self._answering = answering
        self._encoder = encoder
        self._stream = stream
        self._watching: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for as long as the client stays; then stop at once."""
        self._watching = asyncio.ensure_future(_disconnected(receive))
        working = asyncio.ensure_future(self._answer(scope, send))
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

    async def _answer(self, scope: Scope, send: Send) -> None:
        async with self._answering:
            if self._stream:
                await self._send_stream(scope, send)
            else:
                await self._send_reply(await self._gather(), scope, send)

    async def _send_reply(self, reply: Response, scope: Scope, send: Send) -> None:
        """A whole response; nobody can leave it in the middle any more."""
        assert self._watching is not None
        self._watching.cancel()
        await reply(scope, _never, send)

    async def _gather(self) -> Response:
        answering = self._answering
        try:
            while not answering.is_finished:
                await answering.take()
        except UserError as error:
            return error_reply(error, self._encoder)
        return JSONReply(self._encoder.whole(answering.answers, self._times()))

    async def _send_stream(self, scope: Scope, send: Send) -> None:
        """Everything that has come is one write."""
        answering, has_begun = self._answering, False
        try:
            while not answering.is_finished:
                events = await answering.take()
                body = b"".join(map(self._encode, events)) if events else self._heartbeat()
                if body:
                    has_begun = has_begun or await self._begin(send)
                    await _send_body(send, body)
            body = self._encoder.end(answering.answers)
        except UserError as error:
            if not has_begun:
                await self._send_reply(error_reply(error, self._encoder), scope, send)
                return
            body = self._encoder.failure(error)
        await self._finish(send, body, has_begun=has_begun)

    async def _begin(self, send: Send) -> bool:
        headers = [
            (b"content-type", self._encoder.media_type.encode()),
            (b"cache-control", b"no-cache"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        return True

    async def _finish(self, send: Send, body: bytes, *, has_begun: bool) -> None:
        assert self._watching is not None
        if not has_begun:
            await self._begin(send)
        self._watching.cancel()
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _encode(self, event: RequestEvent) -> bytes:
        if isinstance(event, Delta):
            return self._encoder.delta(event)
        if isinstance(event, Done):
            return self._encoder.done(event, self._times())
        if isinstance(event, Started):
            return self._encoder.started(event)
        return b""

    def _heartbeat(self) -> bytes:
        answer = next(iter(self._answering.answers.values()))
        progress = Progress(answer.asked.id, answer.num_computed_tokens)
        return self._encoder.heartbeat(progress if answer.started else None)

    def _times(self) -> Times:
        return Times(self._answering.elapsed_s, self._answering.load_s)


def error_reply(error: UserError, encoder: Encoder) -> Response:
    """An error as the only answer."""
    headers = {"retry-after": "1"} if error.status == 503 else {}
    return JSONReply(encoder.error_body(error), status_code=error.status, headers=headers)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> dict[str, str]:
    raise AssertionError("nothing is received here")


async def _send_body(send: Callable[..., Awaitable[None]], body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})

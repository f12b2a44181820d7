"""Writes an answer while it is made: as a stream, or gathered into one object."""

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Scope, Send

from app.daemon.answering import Answering
from app.daemon.encoder import Encoder, Json, Times
from app.daemon.watched_reply import JSONReply, WatchedReply
from app.protocol import Delta, Done, Progress, RequestEvent, Started
from models.errors import UserError


class AnswerReply(WatchedReply):
    """Streams or gathers an answer. Errors before the first byte have a status of their own.

    `on_end` is called when the answer is complete, before the client has the last of it.
    """

    def __init__(
        self,
        answering: Answering,
        encoder: Encoder,
        *,
        stream: bool,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(encoder.media_type)
        self._on_end = on_end
        self._answering = answering
        self._encoder = encoder
        self._stream = stream

    async def answer(self, scope: Scope, send: Send) -> None:
        """Follow the answer to its end; leaving early aborts it."""
        async with self._answering:
            if self._stream:
                await self._send_stream(scope, send)
            else:
                await self.send_whole(await self._gather(), scope, send)

    async def _gather(self) -> Response:
        answering = self._answering
        try:
            while not answering.is_finished:
                await answering.take()
        except UserError as error:
            return error_reply(error, self._encoder)
        body = self._encoder.whole(answering.answers, self._times())
        self._on_end()
        return JSONReply(body)

    async def _send_stream(self, scope: Scope, send: Send) -> None:
        """Everything that has come is one write."""
        answering = self._answering
        try:
            while not answering.is_finished:
                events = await answering.take()
                body = b"".join(map(self._encode, events)) if events else self._heartbeat()
                if body:
                    await self.send_part(body, send)
            end = self._encoder.end(answering.answers)
            self._on_end()
        except UserError as error:
            if not self.has_begun:
                await self.send_whole(error_reply(error, self._encoder), scope, send)
                return
            end = self._encoder.failure(error)
        await self.send_end(end, send)

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


class ResultReply(WatchedReply):
    """One object made of an answering that has finished, or is `far_enough`.

    Errors are raised: the path they are on says in which shape the client gets them.
    """

    def __init__(
        self,
        answering: Answering,
        write: Callable[[Answering], Json],
        far_enough: Callable[[Answering], bool] = lambda answering: answering.is_finished,
    ) -> None:
        super().__init__("application/json")
        self._answering = answering
        self._write = write
        self._far_enough = far_enough

    async def answer(self, scope: Scope, send: Send) -> None:
        """Wait for it; leaving early aborts it."""
        async with self._answering as answering:
            while not self._far_enough(answering):
                await answering.take()
            body = self._write(answering)
        await self.send_whole(JSONReply(body), scope, send)


def error_reply(error: UserError, encoder: Encoder) -> Response:
    """An error as the only answer."""
    headers = {"retry-after": "1"} if error.status == 503 else {}
    return JSONReply(encoder.error_body(error), status_code=error.status, headers=headers)

"""`/api/pull`: a download into the library, followed line by line."""

import asyncio
import threading
from collections.abc import Generator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope, Send

from app.daemon.encoder import Json, compact
from app.daemon.fields import Fields
from app.daemon.ollama_replies import error_body
from app.daemon.ollama_requests import parse_model_field
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply, WatchedReply
from models.errors import InvalidInput, UserError
from models.name import ModelName
from models.pull import PullProgress, pull

router = APIRouter()


@router.post("/api/pull")
async def pull_model(request: Request) -> Response:
    """Fetch a model; what has come stays when the client leaves, and the next pull goes on."""
    fields = Fields(await read_body(request), "PullRequest")
    text = parse_model_field(fields)
    try:
        name = ModelName.parse(text)
    except InvalidInput as error:
        raise InvalidInput("invalid model name", hint=error.hint) from error
    progress = pull(name, state_of(request).catalog.library)
    return PullReply(progress, stream=fields.flag("stream", default=True))


class PullReply(WatchedReply):
    """Progress as NDJSON, or only how it ended."""

    def __init__(self, progress: Generator[PullProgress, None, None], *, stream: bool) -> None:
        super().__init__("application/x-ndjson")
        self._progress = progress
        self._stream = stream
        self._events: asyncio.Queue[PullProgress | UserError | None] = asyncio.Queue()
        self._is_wanted = True

    async def answer(self, scope: Scope, send: Send) -> None:
        """Follow the pull to its end; leaving early cancels it."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._follow, args=(loop,), daemon=True).start()
        try:
            error = await self._send_lines(send)
        finally:
            self._is_wanted = False
        if self._stream:
            end = b"" if error is None else compact(_failure(error)) + b"\n"
            await self.send_end(end, send)
        elif error is None:
            await self.send_whole(JSONReply({"status": "success"}), scope, send)
        else:
            reply = JSONReply(error_body(error), status_code=error.status)
            await self.send_whole(reply, scope, send)

    async def _send_lines(self, send: Send) -> UserError | None:
        """Each event as it comes; the error that ended the pull."""
        while True:
            event = await self._events.get()
            if event is None or isinstance(event, UserError):
                return event
            if self._stream:
                await self.send_part(compact(_line(event)) + b"\n", send)

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: the pull waits for the network."""
        end: UserError | None = UserError("the pull failed", hint="the daemon's log says why")
        try:
            for event in self._progress:
                if not self._is_wanted:
                    break
                loop.call_soon_threadsafe(self._events.put_nowait, event)
            end = None
        except UserError as error:
            end = error
        finally:
            self._progress.close()
            loop.call_soon_threadsafe(self._events.put_nowait, end)


def _line(event: PullProgress) -> Json:
    line: Json = {"status": event.status}
    if event.digest is not None:
        line["digest"] = event.digest
    if event.total_bytes:
        line["total"] = event.total_bytes
    if event.completed_bytes:
        line["completed"] = event.completed_bytes
    return line


def _failure(error: UserError) -> Json:
    return error_body(error) | {"status": error.status}

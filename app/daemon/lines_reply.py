"""Follows long work in a thread, line by line as NDJSON, or only tells how it ended."""

import asyncio
import logging
import threading
from collections.abc import Callable

from starlette.types import Scope, Send

from app.daemon.encoder import Json, compact
from app.daemon.ollama.replies import error_body
from app.daemon.watched_reply import JSONReply, WatchedReply
from models.errors import UserError

log = logging.getLogger("localllm.daemon")

Say = Callable[[Json], None]


class NotWanted(Exception):
    """Raised inside work whose client has left."""


class LinesReply(WatchedReply):
    """`work` runs in a thread of its own and is given a function that writes a line.

    When the client leaves, that function raises `NotWanted`.
    """

    def __init__(self, work: Callable[[Say], None], *, stream: bool) -> None:
        super().__init__("application/x-ndjson")
        self._work = work
        self._stream = stream
        self._lines: asyncio.Queue[Json | UserError | None] = asyncio.Queue()
        self._is_wanted = True

    async def answer(self, scope: Scope, send: Send) -> None:
        """Follow the work to its end."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), daemon=True).start()
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
        """Each line as it comes; the error that ended the work."""
        while True:
            line = await self._lines.get()
            if line is None or isinstance(line, UserError):
                return line
            if self._stream:
                await self.send_part(compact(line) + b"\n", send)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        def say(line: Json) -> None:
            if not self._is_wanted:
                raise NotWanted
            loop.call_soon_threadsafe(self._lines.put_nowait, line)

        end: UserError | None = None
        try:
            self._work(say)
        except UserError as error:
            end = error
        except NotWanted:
            return
        except Exception:  # a defect: the client must not wait for ever
            log.exception("work for a client failed")
            end = UserError("internal error", hint="the daemon's log says more")
        loop.call_soon_threadsafe(self._lines.put_nowait, end)


def _failure(error: UserError) -> Json:
    return error_body(error) | {"status": error.status}

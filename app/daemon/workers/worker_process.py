"""One worker process as the daemon sees it: lines out, events in, and its end."""

import asyncio
import logging
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from app.daemon.event_queue import EventQueue, WorkerDied
from app.daemon.workers.watchdog import Watchdog
from app.locations import launcher
from app.protocol import (
    Abort,
    Failed,
    Load,
    Message,
    Metrics,
    Ready,
    RequestEvent,
    Shutdown,
)
from app.protocol_lines import format_line, parse_line

log = logging.getLogger("localllm.daemon")

STOP_TIMEOUT_S = 2.0
"""How long a worker may take to end by itself."""


def child_command(*arguments: str) -> list[str]:
    """A command of ours in a process that PYTHON* variables and the working directory cannot bend.

    Not `-I`, which would also hide the packages of `pip install --user`.
    """
    return [sys.executable, "-E", "-P", str(launcher()), *arguments]


def spawn_worker(load: Load, command: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a worker on a model; its standard error is ours.

    In a session of its own: a Ctrl-C in the terminal is for the daemon, which may still want the
    worker to finish its answers.
    """
    process = subprocess.Popen(
        command or child_command("worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    )
    assert process.stdin is not None
    process.stdin.write(format_line(load))
    return process


class WorkerProcess(asyncio.Protocol):
    """Sends messages and gives each request's events to its queue.

    A step may take `step_timeout_s`, and longer with many tokens; then the process is ended.
    """

    def __init__(self, process: subprocess.Popen[bytes], step_timeout_s: float = math.inf) -> None:
        self.pid = process.pid
        self.ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Resolved with the cause when the process is gone."""
        self.metrics = Metrics()
        self._process = process
        self._queues: dict[str, EventQueue] = {}
        self._pending: dict[str, Callable[[], int]] = {}
        self._watchdog = Watchdog(step_timeout_s, self._count_pending, self.kill)
        self._cause: str | None = None
        self._partial = bytearray()
        self._writer: asyncio.WriteTransport | None = None
        self._reaping: asyncio.Task[None] | None = None

    async def attach(self) -> None:
        """Start to read and write; call once."""
        loop = asyncio.get_running_loop()
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._process.stdin)
        await loop.connect_read_pipe(lambda: self, self._process.stdout)

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer."""
        return self._reaping is None

    def send(self, message: Message) -> None:
        """Queue a message; to a dead worker it is lost, which its `ended` tells."""
        assert self._writer is not None, "attach first"
        if self.is_alive and not self._writer.is_closing():
            self._writer.write(format_line(message))

    def open(
        self, request_id: str, queue: EventQueue, count_pending: Callable[[], int] = lambda: 0
    ) -> None:
        """Events of `request_id` go to `queue` until it is closed.

        `count_pending`: how many of its prompt's tokens still wait, at any moment.
        """
        if not self._queues:
            self._watchdog.hear()
        self._queues[request_id] = queue
        self._pending[request_id] = count_pending
        if not self.is_alive:
            queue.fail(WorkerDied("it had ended"))

    def close(self, request_id: str) -> None:
        """Forget a request; one that is still running is aborted."""
        if self._queues.pop(request_id, None) is not None:
            del self._pending[request_id]
            self.send(Abort(request_id))

    def finish(self, request_id: str) -> None:
        """Forget a request that has ended by itself."""
        self._queues.pop(request_id, None)
        self._pending.pop(request_id, None)

    async def stop(self) -> None:
        """End the process, by force if it takes too long."""
        self.send(Shutdown())
        if self._writer is not None:
            self._writer.close()
        await asyncio.wait({self.ended}, timeout=STOP_TIMEOUT_S)
        if not self.ended.done():
            self.kill()
            await self.ended

    def kill(self, cause: str | None = None) -> None:
        """End the process now; `cause` is why, where its end alone does not say."""
        self._cause = cause
        self._process.kill()

    def data_received(self, data: bytes) -> None:
        """Bytes from the worker: whole lines are events."""
        self._watchdog.hear()
        self._partial += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._take(line)

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker closed its output: it is gone or will be."""
        del exc
        self._watchdog.stop()
        self._reaping = asyncio.get_running_loop().create_task(self._reap())

    def _take(self, line: bytes) -> None:
        event = parse_line(line)
        if isinstance(event, Ready):
            if not self.ready.done():
                self.ready.set_result(event)
        elif isinstance(event, Metrics):
            self.metrics = event
        elif isinstance(event, Failed) and event.id is None:
            if not self.ready.done():
                self.ready.set_exception(event.error)
        else:
            assert isinstance(event, RequestEvent)
            assert event.id is not None
            queue = self._queues.get(event.id)
            if queue is not None:
                queue.put(event)

    def _count_pending(self) -> int | None:
        """Prompt tokens that wait in all requests; None without any request."""
        return sum(count() for count in self._pending.values()) if self._pending else None

    async def _reap(self) -> None:
        try:
            code = await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = await asyncio.to_thread(self._process.wait)
        cause = self._cause or _cause(code)
        log.info("worker %d ended: %s", self.pid, cause)
        if self._writer is not None:
            self._writer.close()
        if not self.ready.done():
            self.ready.set_exception(WorkerDied(cause))
            self.ready.exception()
        for queue in self._queues.values():
            queue.fail(WorkerDied(cause))
        self.ended.set_result(cause)


def _cause(code: int) -> str:
    """How a process ended, from its return code.

    >>> _cause(-9)
    'killed by SIGKILL'
    """
    if code >= 0:
        return f"exit code {code}"
    names = {s.value: s.name for s in signal.Signals}
    return f"killed by {names.get(-code, f'signal {-code}')}"

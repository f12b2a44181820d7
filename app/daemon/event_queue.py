"""Hands a worker's events to the one task that answers a client, without a task in between."""

import asyncio

from app.protocol import RequestEvent


class WorkerDied(Exception):
    """The worker process ended while it was needed; `cause` says how, for people."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class EventQueue:
    """Unbounded, with one reader; a slow client makes it longer and holds nobody else up."""

    def __init__(self) -> None:
        self._events: list[RequestEvent] = []
        self._death: WorkerDied | None = None
        self._waiting: asyncio.Future[None] | None = None

    def put(self, event: RequestEvent) -> None:
        """Add an event and wake the reader."""
        self._events.append(event)
        self._wake()

    def fail(self, death: WorkerDied) -> None:
        """No more events will come; the reader gets `death` after those that are here."""
        self._death = death
        self._wake()

    async def take(self, timeout_s: float) -> list[RequestEvent]:
        """All events that are here, or the next one; none when `timeout_s` passes first.

        Raises:
            WorkerDied: nothing is left and nothing will come.
        """
        if not self._events and self._death is None:
            await self._wait(timeout_s)
        if not self._events and self._death is not None:
            raise self._death
        events, self._events = self._events, []
        return events

    async def _wait(self, timeout_s: float) -> None:
        assert self._waiting is None, "one reader"
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = loop.call_later(min(timeout_s, 86_400.0), self._wake)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

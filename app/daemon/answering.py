"""Has workers answer a client's request: events in order, across a worker's death."""

import asyncio
import logging
import math
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from types import TracebackType
from typing import Self

from app.daemon.answer import Answers, Asked
from app.daemon.event_queue import EventQueue, WorkerDied
from app.daemon.measures import Measures
from app.daemon.workers.model_pool import ModelPool
from app.daemon.workers.model_worker import ModelSource, ModelWorker
from app.daemon.workers.worker_process import WorkerProcess
from app.protocol import Failed, RequestEvent, Started
from models.errors import UserError

log = logging.getLogger("localllm.daemon")


class Late(UserError):
    """The time that a client or a setting allowed is over."""

    status = 504


class Answering(Answers):
    """The answers to one client's requests (several for `n` choices), in a `with`.

    `take` gives events as they come. Leaving the block aborts what has not finished.
    """

    def __init__(
        self,
        pool: ModelPool,
        source: ModelSource,
        asked: list[Asked],
        measures: Measures,
        *,
        keep_alive_s: float | None = None,
        heartbeat_s: float = math.inf,
        timeout_s: float = math.inf,
        admission: AbstractContextManager[None] | None = None,
    ) -> None:
        super().__init__(source.files.name, asked)
        self._measures = measures
        self._pool = pool
        self._source = source
        self._keep_alive_s = keep_alive_s
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._admission = admission or nullcontext()
        self._queue = EventQueue()
        self._worker: ModelWorker | None = None
        self._process: WorkerProcess | None = None
        self._died: str | None = None
        self._failure: UserError | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._measures.begin(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            for request_id in self.answers:
                self._process.close(request_id)
        self._measures.end(self)
        await self._stack.aclose()

    @property
    def worker(self) -> ModelWorker:
        """The worker that answers; not before the first event."""
        assert self._worker is not None
        return self._worker

    async def load(self) -> None:
        """Have the model ready and nothing more."""
        while not await self._connect(self._patience_s()):
            pass

    async def take(self) -> list[RequestEvent]:
        """The next events; none after a silence of `heartbeat_s`.

        Raises:
            UserError: the request cannot be answered, or two workers died over it.
            Busy: `admission` was refused; it holds from the first call to the end of the block.
            Late: it took longer than `timeout_s`.
        """
        try:
            return await self._take()
        except UserError as error:
            self.error = error
            raise

    async def _take(self) -> list[RequestEvent]:
        while True:
            if self._failure is not None:
                raise self._failure
            patience_s = self._patience_s()
            if self._process is None and not await self._connect(patience_s):
                return []
            try:
                events = await self._queue.take(patience_s)
            except WorkerDied as death:
                self._note_death(death)
                continue
            accepted = [event for event in events if self._accept(event)]
            if accepted or not events:
                return accepted

    def _patience_s(self) -> float:
        """How long the next wait may be."""
        left_s = self._timeout_s - self.elapsed_s
        if left_s <= 0:
            raise Late(
                f"the answer was not complete after {self._timeout_s:g} s",
                hint="ask for a shorter one, or allow more time",
            )
        return min(self._heartbeat_s, left_s)

    async def _connect(self, patience_s: float) -> bool:
        """Send the requests to a ready worker; False when it takes too long for one wait."""
        if self._worker is None:
            self._stack.enter_context(self._admission)
            using = self._pool.using(self._source, self._keep_alive_s)
            self._worker = await self._stack.enter_async_context(using)
        starting = self._worker.start(self._pool.limits.load_timeout_s)
        await asyncio.wait({starting}, timeout=min(patience_s, 86_400.0))
        if not starting.done():
            return False
        process = starting.result()
        self.load_s = self.load_s or self.elapsed_s
        self._queue = EventQueue()
        for request_id, answer in self.answers.items():
            if not answer.is_finished:
                process.open(request_id, self._queue, answer.count_pending)
                process.send(answer.to_send())
        self._process = process
        return True

    def _accept(self, event: RequestEvent) -> bool:
        """Take in an event; whether it is for the client, who has not had it."""
        assert event.id is not None
        self._measures.hear(self, event)
        if isinstance(event, Failed):
            self._finish(event.id)
            self._failure = event.error
            return False
        answer = self.answers[event.id]
        is_repeated = isinstance(event, Started) and answer.started is not None
        answer.add(event)
        if answer.is_finished:
            self._finish(event.id)
        return not is_repeated

    def _finish(self, request_id: str) -> None:
        assert self._process is not None
        self._process.finish(request_id)

    def _note_death(self, death: WorkerDied) -> None:
        if self._died is not None:
            raise UserError(
                f"the worker of model '{self.model}' died twice during this request"
                f" ({self._died}, then {death.cause}); it was not tried again",
                hint="a shorter prompt or a smaller model needs less memory",
            )
        log.warning(
            "worker of %s died (%s); its answer continues in another", self.model, death.cause
        )
        self._died = death.cause
        self._process = None

"""What a client asked for, while workers answer it: events in order, across a worker's death."""

import asyncio
import logging
import math
import time
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from app.daemon.event_queue import EventQueue, WorkerDied
from app.daemon.measures import Measures, Moments
from app.daemon.model_pool import ModelPool
from app.daemon.model_worker import ModelSource, ModelWorker
from app.daemon.watchdog import MAX_STEP_TOKENS
from app.daemon.worker_process import WorkerProcess
from app.protocol import (
    Delta,
    Detokenize,
    Detokenized,
    Done,
    Embed,
    Embedded,
    Failed,
    Generate,
    Json,
    Progress,
    RequestEvent,
    Started,
    Tokenize,
    Tokenized,
)
from models.errors import UserError

log = logging.getLogger("localllm.daemon")

Asked = Generate | Embed | Tokenize | Detokenize
Result = Embedded | Tokenized | Detokenized


class Late(UserError):
    """The time that a client or a setting allowed is over."""

    status = 504


@dataclass
class Answer:
    """All that came for one request so far."""

    asked: Asked
    started: Started | None = None
    num_computed_tokens: int = 0
    is_reading: bool = True
    """Whether its worker has given no new token yet."""
    token_ids: list[int] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tool_calls: list[Json] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    prompt_logprobs: list[Json] = field(default_factory=list)
    done: Done | None = None
    result: Result | None = None
    moments: Moments = field(default_factory=Moments)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come."""
        return self.done is not None or self.result is not None

    def add(self, event: RequestEvent) -> None:
        """Take in an event."""
        if isinstance(event, Delta):
            self.token_ids += event.token_ids
            self.is_reading = self.is_reading and not event.token_ids
            self.content += [event.content] if event.content else []
            self.thinking += [event.thinking] if event.thinking else []
            self.tool_calls += event.tool_calls
            self.logprobs += event.logprobs
            self.prompt_logprobs += event.prompt_logprobs
        elif isinstance(event, Progress):
            self.num_computed_tokens = event.num_computed_tokens
        elif isinstance(event, Started):
            self.started = self.started or event
            self.is_reading, self.num_computed_tokens = True, 0
            if not self.token_ids:
                self.prompt_logprobs.clear()  # another worker reads the prompt again
        elif isinstance(event, Done):
            self.done = event
        elif isinstance(event, Result):
            self.result = event

    def count_pending(self) -> int:
        """How many of the prompt's tokens the worker has yet to compute, as far as is known."""
        if not isinstance(self.asked, Generate) or self.started is None:
            return MAX_STEP_TOKENS
        if not self.is_reading:
            return 0
        num_tokens = self.started.num_prompt_tokens + len(self.token_ids)
        return num_tokens - self.num_computed_tokens

    def to_send(self) -> Asked:
        """What a worker must be asked for the rest."""
        if isinstance(self.asked, Generate) and self.token_ids:
            return replace(self.asked, resumed_token_ids=self.token_ids, num_prompt_logprobs=None)
        return self.asked


class Answering:
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
        self.answers = {each.id: Answer(each) for each in asked}
        self.begun_s = time.monotonic()
        self.load_s = 0.0
        """Until the model was ready."""
        self.error: UserError | None = None
        """What `take` raised."""
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
    def model(self) -> str:
        """The model's name."""
        return self._source.files.name

    @property
    def is_finished(self) -> bool:
        """Whether all answers are complete."""
        return all(answer.is_finished for answer in self.answers.values())

    @property
    def elapsed_s(self) -> float:
        """Since the client asked."""
        return time.monotonic() - self.begun_s

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
        name = self._source.files.name
        if self._died is not None:
            raise UserError(
                f"the worker of model '{name}' died twice during this request"
                f" ({self._died}, then {death.cause}); it was not tried again",
                hint="a shorter prompt or a smaller model needs less memory",
            )
        log.warning("worker of %s died (%s); its answer continues in another", name, death.cause)
        self._died = death.cause
        self._process = None

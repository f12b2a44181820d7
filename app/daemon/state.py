"""What all routes share: the library, the loaded models and the count of requests."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from starlette.requests import Request

from app.daemon.answer import Asked
from app.daemon.answering import Answering
from app.daemon.caller import Caller, caller_of
from app.daemon.fields import Json, parse_body
from app.daemon.measures import Measures
from app.daemon.ollama.catalog import Catalog
from app.daemon.openai.response_store import ResponseStore
from app.daemon.workers.model_pool import ModelPool
from app.daemon.workers.model_worker import ModelSource
from app.protocol import Generate
from app.settings import Settings
from models.errors import Busy, InvalidInput, UserError

MAX_BODY_BYTES = 64 << 20
BODY_TIMEOUT_S = 30.0
"""Longest wait for more of a body that has begun."""
RESERVED_SHARE = 8
"""One place of so many in the queue is kept for clients who have none."""


class TooLarge(InvalidInput):
    """A request body beyond `MAX_BODY_BYTES`."""

    status = 413


class TooSlow(UserError):
    """A request body of which nothing more came."""

    status = 408


@dataclass
class State:
    """One daemon."""

    settings: Settings
    catalog: Catalog
    pool: ModelPool
    measures: Measures = field(default_factory=Measures)
    num_requests: int = 0
    """Being answered or waiting."""
    num_requests_of: Counter[str] = field(default_factory=Counter)
    """The same, by client."""
    responses: ResponseStore = field(default_factory=ResponseStore)
    num_refused: int = 0
    """Since the start, for want of a place in the queue."""
    begun_s: float = field(default_factory=time.monotonic)

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """A place in the queue for as long as the block runs.

        Raises:
            Busy: there is none, or the last ones are for others.
        """
        limit = self.settings.max_queue
        if self.num_requests_of[client]:
            limit -= limit // RESERVED_SHARE
        if self.num_requests >= limit:
            self.num_refused += 1
            raise Busy(
                "server busy, please try again.  maximum pending requests exceeded",
                hint="set LOCALLLM_MAX_QUEUE to allow more",
            )
        self.num_requests += 1
        self.num_requests_of[client] += 1
        try:
            yield
        finally:
            self.num_requests -= 1
            self.num_requests_of[client] -= 1
            if not self.num_requests_of[client]:
                del self.num_requests_of[client]

    def answering(
        self,
        caller: Caller,
        source: ModelSource,
        asked: Sequence[Asked],
        keep_alive_s: float | None = None,
    ) -> Answering:
        """Answers to be taken inside `with`."""
        return Answering(
            self.pool,
            source,
            [_from(caller, each) for each in asked],
            self.measures,
            keep_alive_s=keep_alive_s,
            heartbeat_s=self.settings.heartbeat_s,
            timeout_s=caller.timeout_s,
            admission=self.admitted(caller.client),
        )

    def caller_of(self, request: Request) -> Caller:
        """Who sent a request."""
        return caller_of(request, self.settings.request_timeout_s)


def _from(caller: Caller, asked: Asked) -> Asked:
    if not isinstance(asked, Generate):
        return asked
    return replace(asked, client=caller.client, priority=caller.priority)


def state_of(request: Request) -> State:
    """The daemon that a request came to."""
    state = request.app.state.daemon
    assert isinstance(state, State)
    return state


async def read_body(request: Request) -> Json:
    """The JSON object in a request's body, whatever its content type says.

    Raises:
        InvalidInput: not a JSON object, or too large.
        TooSlow: nothing more of it came for `BODY_TIMEOUT_S`.
    """
    body = bytearray()
    parts = request.stream()
    while True:
        try:
            part = await asyncio.wait_for(anext(parts, None), BODY_TIMEOUT_S)
        except TimeoutError:
            raise TooSlow(f"nothing more of the body came for {BODY_TIMEOUT_S:g} s") from None
        if part is None:
            return parse_body(bytes(body))
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"the request body is larger than {MAX_BODY_BYTES >> 20} MiB")

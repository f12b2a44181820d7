"""What all routes share: the library, the loaded models and the count of requests."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from app.daemon.answer import Answering, Asked
from app.daemon.catalog import Catalog
from app.daemon.fields import Json, parse_body
from app.daemon.model_pool import ModelPool
from app.daemon.model_worker import ModelSource
from app.settings import Settings
from models.errors import Busy, InvalidInput

MAX_BODY_BYTES = 64 << 20


class TooLarge(InvalidInput):
    """A request body beyond `MAX_BODY_BYTES`."""

    status = 413


@dataclass
class State:
    """One daemon."""

    settings: Settings
    catalog: Catalog
    pool: ModelPool
    num_requests: int = 0
    """Being answered or waiting."""
    counts: dict[str, int] = field(default_factory=dict)
    """Since the start, for `/metrics`."""
    begun_s: float = field(default_factory=time.monotonic)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.counts[name] = self.counts.get(name, 0) + amount

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place in the queue for as long as the block runs.

        Raises:
            Busy: there is none.
        """
        if self.num_requests >= self.settings.max_queue:
            self.count("requests_refused")
            raise Busy(
                "server busy, please try again.  maximum pending requests exceeded",
                hint="set LOCALLLM_MAX_QUEUE to allow more",
            )
        self.count("requests")
        self.num_requests += 1
        try:
            yield
        finally:
            self.num_requests -= 1

    def answering(
        self, source: ModelSource, asked: list[Asked], keep_alive_s: float | None
    ) -> Answering:
        """Answers to be taken inside `with`."""
        return Answering(
            self.pool,
            source,
            asked,
            keep_alive_s=keep_alive_s,
            heartbeat_s=self.settings.heartbeat_s,
            admission=self.admitted(),
        )


def state_of(request: Request) -> State:
    """The daemon that a request came to."""
    state = request.app.state.daemon
    assert isinstance(state, State)
    return state


async def read_body(request: Request) -> Json:
    """The JSON object in a request's body, whatever its content type says.

    Raises:
        InvalidInput: not a JSON object, or too large.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"the request body is larger than {MAX_BODY_BYTES >> 20} MiB")
    return parse_body(bytes(body))

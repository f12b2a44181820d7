"""What every wire format must be able to write; one encoder serves one HTTP request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.daemon.answer import Answer
from app.protocol import Delta, Done, Progress, Started
from models.errors import UserError

Json = dict[str, Any]
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Times:
    """Seconds since the request came, and until its model was ready."""

    total_s: float
    load_s: float


class Encoder(Protocol):
    """Turns events into the bytes of a stream, and answers into one object. Does no I/O."""

    media_type: str

    def started(self, event: Started) -> bytes:
        """The prompt is queued; before any other event of that answer."""

    def delta(self, event: Delta) -> bytes:
        """More of an answer; empty when there is nothing to show."""

    def done(self, event: Done, times: Times) -> bytes:
        """One answer is complete."""

    def end(self, answers: Mapping[str, Answer]) -> bytes:
        """All answers are complete; what follows is the end of the stream."""

    def heartbeat(self, progress: Progress | None) -> bytes:
        """Something that every client takes and nobody sees, whole as an event."""

    def failure(self, error: UserError) -> bytes:
        """An error in the middle of a stream, which ends with it."""

    def whole(self, answers: Mapping[str, Answer], times: Times) -> Json:
        """The body of an answer that is not streamed."""

    def error_body(self, error: UserError) -> Json:
        """The body of an error with a status of its own."""


def arguments_text(call: Json) -> str:
    """The arguments of a whole call, as the parts of a streamed one make them when joined."""
    return json.dumps(call["arguments"], ensure_ascii=False)


def compact(value: Any) -> bytes:
    """JSON in UTF-8 without spaces; half a surrogate pair, which has no UTF-8, becomes "?"."""
    return _encode(value).encode("utf-8", "replace")

"""The id of the HTTP request that is being answered: its header, its log lines and its worker."""

import itertools
import uuid
from collections.abc import Iterator
from contextvars import ContextVar, Token

HEADER = "x-request-id"
"""What `localllm why` takes."""

_current: ContextVar[tuple[str, Iterator[int]] | None] = ContextVar("request_id", default=None)


def begin_request() -> Token[tuple[str, Iterator[int]] | None]:
    """Give what runs from here on, and the tasks it starts, an id of their own."""
    return _current.set((uuid.uuid4().hex, itertools.count()))


def end_request(token: Token[tuple[str, Iterator[int]] | None]) -> None:
    """Back to what was before `begin_request`."""
    _current.reset(token)


def current_request_id() -> str:
    """The id; empty outside of any request."""
    current = _current.get()
    return current[0] if current else ""


def new_answer_ids(num_choices: int) -> list[str]:
    """Ids for the choices of the request's next prompt: `request.prompt.choice`."""
    request_id, numbers = _current.get() or (uuid.uuid4().hex, itertools.count())
    prompt = next(numbers)
    return [f"{request_id}.{prompt}.{choice}" for choice in range(num_choices)]


def first_answer_id(text: str) -> str:
    """The first answer's id of a request that is named by any of its ids, or by an object's."""
    known = text.rpartition("-")[2]
    return known if "." in known else f"{known}.0.0"

"""Who asks, how urgent it is and how long the answer may take: what stands beside a body."""

import math
from dataclasses import dataclass

from starlette.requests import Request

from app.durations import parse_seconds
from models.errors import InvalidInput

PRIORITY_HEADER = "x-localllm-priority"
TIMEOUT_HEADER = "x-localllm-timeout"
MAX_PRIORITY = 9


@dataclass(frozen=True)
class Caller:
    """One request's sender, as the gate has seen it."""

    client: str = ""
    """The name of a key, or an address; clients share the machine evenly."""
    priority: int = 0
    """0 is interactive; larger numbers give way."""
    timeout_s: float = math.inf


def caller_of(request: Request, default_timeout_s: float) -> Caller:
    """The caller of a request that the gate let through.

    Raises:
        InvalidInput: a header of ours that cannot be read.
    """
    text = request.headers.get(PRIORITY_HEADER, "0")
    if not text.isdecimal() or int(text) > MAX_PRIORITY:
        raise InvalidInput(f"{PRIORITY_HEADER} must be between 0 and {MAX_PRIORITY}, not {text!r}")
    wanted = request.headers.get(TIMEOUT_HEADER)
    timeout_s = default_timeout_s if wanted is None else parse_seconds(wanted)
    if timeout_s <= 0:
        raise InvalidInput(f"{TIMEOUT_HEADER} must be more than nothing, not {wanted!r}")
    return Caller(request.state.client, int(text), timeout_s)

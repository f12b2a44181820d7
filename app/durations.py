"""Lengths of time as clients write them: seconds, or Go's notation (`1h30m`, `300ms`)."""

import math
import re

from models.errors import InvalidInput

FOREVER = math.inf

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds in a Go duration string; the sign is kept.

    >>> parse_duration("1h30m")
    5400.0
    >>> parse_duration("-1m")
    -60.0

    Raises:
        InvalidInput: in Go's own words, which clients know.
    """
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    total = 0.0
    position = 0
    while match := _PART.match(body, position):
        total += float(match[1]) * _UNIT_S[match[2]]
        position = match.end()
    if not body or position == 0 or position != len(body):
        raise InvalidInput(_complaint(text, body, position))
    return -total if text.startswith("-") else total


def _complaint(text: str, body: str, position: int) -> str:
    number = re.match(r"\d+\.?\d*|\.\d+", body[position:])
    if number and position + number.end() == len(body):
        return f'time: missing unit in duration "{text}"'
    if number:
        unit = re.match(r"[^\d.]+", body[position + number.end() :])
        if unit:
            return f'time: unknown unit "{unit[0]}" in duration "{text}"'
    return f'time: invalid duration "{text}"'


def parse_keep_alive(value: object) -> float:
    """`keep_alive` in seconds: a number of seconds or a duration; negative means forever.

    >>> parse_keep_alive(-1)
    inf
    """
    if isinstance(value, str):
        seconds = parse_duration(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise InvalidInput(
            f"keep_alive must be a number of seconds or a duration, not {value!r}",
            hint='write 300, "5m" or -1 (forever)',
        )
    return FOREVER if seconds < 0 else seconds


def parse_seconds(text: str) -> float:
    """What people write: a duration or a bare number of seconds; negative means forever.

    >>> parse_seconds("90"), parse_seconds("-1"), parse_seconds("2m")
    (90.0, inf, 120.0)

    Raises:
        InvalidInput: it is neither.
    """
    try:
        return parse_keep_alive(float(text))
    except ValueError:
        pass
    try:
        return parse_keep_alive(text)
    except InvalidInput:
        hint = "write 90 (seconds), 10m, 1h30m or -1 (for ever)"
        raise InvalidInput(f"{text!r} is not a length of time", hint=hint) from None


def nanoseconds(seconds: float) -> int:
    """Durations on the wire of the Ollama API."""
    return round(seconds * 1e9)

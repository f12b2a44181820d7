"""Messages and events of the protocol as lines of JSON."""

import json
from typing import get_args

from app.protocol import Done, Event, Generate, Json, Message
from engine.request import Grammar, RequestStats, SamplingParams

_KINDS: dict[str, type[Message | Event]] = {
    kind.__name__: kind for kind in (*get_args(Message), *get_args(Event))
}


def format_line(message: Message | Event) -> bytes:
    """One line, its end included; `parse_line` reads it back."""
    fields = {"is": type(message).__name__, **vars(message)}
    return json.dumps(fields, separators=(",", ":"), default=vars).encode("ascii") + b"\n"


def parse_line(line: bytes) -> Message | Event:
    """The message or event that a line holds."""
    fields = json.loads(line)
    kind = _KINDS[fields.pop("is")]
    if kind is Generate:
        fields["sampling"] = _parse_sampling(fields["sampling"])
        fields["grammar"] = fields["grammar"] and Grammar(**fields["grammar"])
    elif kind is Done:
        fields["stats"] = RequestStats(**fields["stats"])
    return kind(**fields)


def _parse_sampling(fields: Json) -> SamplingParams:
    bias = {int(token_id): value for token_id, value in fields.pop("logit_bias").items()}
    return SamplingParams(**fields, logit_bias=bias)

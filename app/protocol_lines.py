"""Messages and events of the protocol as lines of JSON."""

import json
from dataclasses import fields as fields_of
from typing import get_args

from app.protocol import Done, Event, Generate, Json, Message
from engine.request import Grammar, RequestStats, SamplingParams

_KINDS: dict[str, type[Message | Event]] = {
    kind.__name__: kind for kind in (*get_args(Message), *get_args(Event))
}


_MAY_LACK = {
    kind: frozenset(f.name for f in fields_of(kind) if f.default in ("", ()))
    for kind in _KINDS.values()
}
"""Texts and lists that are empty where they are not said; most of a stream's are."""
_encode = json.JSONEncoder(separators=(",", ":"), default=vars).encode


def format_line(message: Message | Event) -> bytes:
    """One line, its end included; `parse_line` reads it back."""
    kind = type(message)
    may_lack = _MAY_LACK[kind]
    fields = {name: value for name, value in vars(message).items() if value or name not in may_lack}
    return _encode({"is": kind.__name__, **fields}).encode("ascii") + b"\n"


def parse_line(line: bytes) -> Message | Event:
    """The message or event that a line holds."""
    fields = json.loads(line.decode("ascii"))
    kind = _KINDS[fields.pop("is")]
    if kind is Generate:
        fields["sampling"] = _parse_sampling(fields["sampling"])
        fields["grammar"] = fields.get("grammar") and Grammar(**fields["grammar"])
    elif kind is Done:
        fields["stats"] = RequestStats(**fields["stats"])
    return kind(**fields)


def _parse_sampling(fields: Json) -> SamplingParams:
    bias = {int(token_id): value for token_id, value in fields.pop("logit_bias").items()}
    return SamplingParams(**fields, logit_bias=bias)

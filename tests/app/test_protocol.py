"""Every message and event survives its line."""

import pytest

from app import protocol
from app.protocol_lines import format_line, parse_line
from engine.request import Grammar, RequestStats, SamplingParams
from models.errors import Busy, InvalidInput, UserError

STATS = RequestStats(1, 2, 3, 4, 5, 0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    "message",
    [
        protocol.Load("pocket", "/library", adapter="/adapter", num_threads=2),
        protocol.Generate(
            "a",
            messages=[{"role": "user", "content": "grüß\n\U0001f600 \ud800"}],
            sampling=SamplingParams(temperature=0, logit_bias={5: -1.0}, seed=2**62),
            grammar=Grammar("json_schema", "{}"),
            stop=["x"],
            resumed_token_ids=[1, 2],
        ),
        protocol.Generate("b", prompt="p"),
        protocol.Generate("c", messages=[], think=False, num_prompt_logprobs=0, truncate=False),
        protocol.Abort("a"),
        protocol.Shutdown(),
        protocol.Ready(1, 2, 3, 4, 0.5),
        protocol.Started("a", 7, [1, 2], 3, 4),
        protocol.Progress("a", 5),
        protocol.Delta("a", [1], "text\u2028", "thought", [{"name": "f", "arguments": {"x": 1}}]),
        protocol.Done("a", "stop", STATS),
        protocol.Failed(None, "Busy", "no", "later"),
        protocol.Metrics({"num_running": 1}),
    ],
)
def test_a_line_is_read_back_as_what_was_written(message) -> None:
    line = format_line(message)
    assert line.count(b"\n") == 1
    found = parse_line(line)
    assert type(found) is type(message)
    assert listed(vars(found)) == listed(vars(message))


def listed(fields: dict) -> dict:
    """JSON has one kind of sequence."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}


def test_an_error_crosses_with_its_class() -> None:
    failed = protocol.Failed.of(Busy("full", hint="wait"), "a")
    assert type(failed.error) is Busy
    assert (failed.error.message, failed.error.hint) == ("full", "wait")
    assert type(protocol.Failed("a", "InvalidInput", "x").error) is InvalidInput
    assert type(protocol.Failed("a", "Unheard", "x").error) is UserError

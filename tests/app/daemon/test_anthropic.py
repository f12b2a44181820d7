"""Anthropic's messages over real HTTP, against a worker without a model."""

import json

import pytest

from app.daemon.anthropic.requests import parse_messages_request
from models.errors import InvalidInput


@pytest.fixture(scope="module")
def daemon(shared_daemon):
    return shared_daemon


def say(text: object, **extra: object) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    return {"model": "pocket", "max_tokens": 100, "messages": messages, **extra}


def events_of(body: bytes) -> list[tuple[str, dict]]:
    events = []
    for part in body.decode().split("\n\n")[:-1]:
        name, data = part.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


TOOLS = [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]


@pytest.mark.compat("POST /v1/messages", "one message")
def test_a_message_is_blocks_with_a_reason_and_usage(daemon) -> None:
    reply = daemon.post("/v1/messages", say("say 4 think call", tools=TOOLS)).json
    assert (reply["type"], reply["role"], reply["stop_reason"]) == (
        "message",
        "assistant",
        "tool_use",
    )
    kinds = [block["type"] for block in reply["content"]]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]
    assert reply["content"][1]["text"] == "w1 w2 "
    assert reply["content"][2]["input"] == {"x": 1}
    assert reply["usage"]["input_tokens"] + reply["usage"]["cache_read_input_tokens"] == 11


@pytest.mark.compat("POST /v1/messages", "streaming")
def test_a_stream_opens_and_closes_each_block(daemon) -> None:
    body = say("say 4 think call", stream=True, tools=TOOLS)
    events = events_of(daemon.post("/v1/messages", body).body)
    assert [name for name, _ in events] == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_stop"],
        "content_block_start",
        *["content_block_delta"] * 2,
        "content_block_stop",
        *["content_block_start", *["content_block_delta"] * 2, "content_block_stop"] * 2,
        "message_delta",
        "message_stop",
    ]
    assert all(data["type"] == name for name, data in events)
    starts = [data["index"] for name, data in events if name == "content_block_start"]
    assert starts == [0, 1, 2, 3]
    pieces = [
        (data["index"], data["delta"]["partial_json"])
        for name, data in events
        if name == "content_block_delta" and data["delta"]["type"] == "input_json_delta"
    ]
    assert pieces == [(2, '{"x"'), (2, ": 1}"), (3, '{"x"'), (3, ": 2}")]
    (end,) = [data for name, data in events if name == "message_delta"]
    assert end["delta"]["stop_reason"] == "tool_use"
    assert end["usage"]["output_tokens"] == 4


@pytest.mark.compat("POST /v1/messages", "pings in long silence")
def test_silence_is_filled_with_pings(start_daemon) -> None:
    daemon = start_daemon(heartbeat_s=0.05)
    events = events_of(daemon.post("/v1/messages", say("say 1 silent 0.3", stream=True)).body)
    assert sum(name == "ping" for name, _ in events) >= 2
    assert events[-1][0] == "message_stop"


@pytest.mark.compat("POST /v1/messages", "`tools`, tool results")
def test_a_conversation_with_tools_reaches_the_template(daemon) -> None:
    messages = [
        {"role": "user", "content": "use it"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "done"},
                {"type": "text", "text": "say 2"},
            ],
        },
    ]
    reply = daemon.post("/v1/messages", {**say("x"), "messages": messages}).json
    assert reply["content"] == [{"type": "text", "text": "w0 w1 "}]


@pytest.mark.compat("POST /v1/messages/count_tokens", "counting")
def test_tokens_are_counted_without_an_answer(daemon) -> None:
    body = {"model": "pocket", "messages": [{"role": "user", "content": "say 5 every 5"}]}
    assert daemon.post("/v1/messages/count_tokens", body).json == {"input_tokens": 11}


@pytest.mark.parametrize(
    ("changes", "status", "kind", "text"),
    [
        ({"model": ""}, 400, "invalid_request_error", "model is required"),
        (
            {"max_tokens": 0},
            400,
            "invalid_request_error",
            "max_tokens is required and must be positive",
        ),
        ({"messages": []}, 400, "invalid_request_error", "messages is required"),
        ({"model": "nope"}, 404, "not_found_error", "model 'nope' not found"),
        (
            {"tool_choice": {"type": "tool", "name": "g"}},
            400,
            "invalid_request_error",
            "tool_choice names 'g', which is not in tools",
        ),
    ],
)
@pytest.mark.compat("POST /v1/messages", "Anthropic's errors")
def test_errors_have_anthropics_form(daemon, changes, status: int, kind: str, text: str) -> None:
    reply = daemon.post("/v1/messages", say("x") | changes)
    assert reply.status == status
    assert reply.json["type"] == "error"
    assert reply.json["error"] == {"type": kind, "message": text}
    assert reply.json["request_id"].startswith("req_")


@pytest.mark.compat("POST /v1/messages", "`stop_sequences`")
def test_the_stop_sequence_that_came_up_is_named(daemon) -> None:
    asked = say("say 3 stop w2")
    whole = daemon.post("/v1/messages", asked).json
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", "w2")
    events = daemon.post("/v1/messages", {**asked, "stream": True}).sse
    (delta,) = [event["delta"] for event in events if event["type"] == "message_delta"]
    assert delta == {"stop_reason": "stop_sequence", "stop_sequence": "w2"}
    plain = daemon.post("/v1/messages", say("say 3"))
    assert (plain.json["stop_reason"], plain.json["stop_sequence"]) == ("end_turn", None)


@pytest.mark.compat("POST /v1/messages", "`thinking.budget_tokens`")
def test_a_thinking_budget_reaches_the_worker() -> None:
    thinking = {"type": "enabled", "budget_tokens": 30}
    asked = parse_messages_request({**say("hi"), "max_tokens": 40, "thinking": thinking})
    assert (asked.think, asked.max_thinking_tokens) == (True, 30)
    for wrong in (0, -1):
        with pytest.raises(InvalidInput, match=r"thinking\.budget_tokens"):
            parse_messages_request(
                {**say("hi"), "max_tokens": 40, "thinking": {**thinking, "budget_tokens": wrong}}
            )

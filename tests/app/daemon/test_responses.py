"""OpenAI's responses over real HTTP, against a worker without a model."""

import json

import pytest


@pytest.fixture(scope="module")
def daemon(shared_daemon):
    return shared_daemon


TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]


def ask(given: object, **extra: object) -> dict[str, object]:
    return {"model": "pocket", "input": given, **extra}


def events_of(body: bytes) -> list[dict]:
    parts = [part.split("\n") for part in body.decode().split("\n\n")[:-1]]
    events = [json.loads(data.removeprefix("data: ")) for _, data in parts]
    assert [name.removeprefix("event: ") for name, _ in parts] == [e["type"] for e in events]
    return events


def test_a_response_is_a_list_of_items(daemon) -> None:
    body = daemon.post("/v1/responses", ask("say 4 think call", tools=TOOLS)).json
    assert (body["object"], body["status"]) == ("response", "completed")
    thought, message, first, second = body["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "w0 "}]
    assert message["content"] == [{"type": "output_text", "text": "w1 w2 ", "annotations": []}]
    assert [json.loads(call["arguments"]) for call in (first, second)] == [{"x": 1}, {"x": 2}]
    assert body["usage"]["total_tokens"] == 15
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 5}


def test_a_streamed_response_tells_each_item_whole_and_in_order(daemon) -> None:
    body = ask("say 4 think call", tools=TOOLS, stream=True)
    events = events_of(daemon.post("/v1/responses", body).body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == done
    assert events[0]["response"]["output"] == []


def test_an_answer_cut_short_is_incomplete(daemon) -> None:
    body = daemon.post("/v1/responses", ask("say 9", max_output_tokens=2)).json
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}


def test_items_of_a_conversation_reach_the_template(daemon) -> None:
    items = [
        {"role": "user", "content": "use it"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "7"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say 2"}]},
    ]
    body = daemon.post("/v1/responses", ask(items, instructions="be kind")).json
    assert body["output"][0]["content"][0]["text"] == "w0 w1 "


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (ask(None), "input is required"),
        (ask("x", previous_response_id="r"), "previous_response_id is not supported"),
        (ask([{"type": "computer_call"}]), "input items of type 'computer_call'"),
        (ask("x", tools=[{"type": "web_search"}]), "tools of type 'web_search'"),
        (ask("x", text={"format": {"type": "xml"}}), "text.format must be of type"),
    ],
)
def test_what_cannot_be_answered_is_refused(daemon, body: object, text: str) -> None:
    reply = daemon.post("/v1/responses", body)
    assert reply.status == 400
    assert text in reply.json["error"]["message"]

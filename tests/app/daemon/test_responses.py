"""OpenAI's responses over real HTTP, against a worker without a model."""

import json

import pytest

from app.daemon.openai.response_store import ResponseStore, StoredResponse
from app.daemon.openai.responses_requests import parse_response_request
from models.errors import NotFound


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


@pytest.mark.compat("POST /v1/responses", "one object")
def test_a_response_is_a_list_of_items(daemon) -> None:
    body = daemon.post("/v1/responses", ask("say 4 think call", tools=TOOLS)).json
    assert (body["object"], body["status"]) == ("response", "completed")
    thought, message, first, second = body["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "w0 "}]
    assert message["content"] == [{"type": "output_text", "text": "w1 w2 ", "annotations": []}]
    assert [json.loads(call["arguments"]) for call in (first, second)] == [{"x": 1}, {"x": 2}]
    assert body["usage"]["total_tokens"] == 15
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 5}


@pytest.mark.compat("POST /v1/responses", "streaming")
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
        *("output_item.added", *["function_call_arguments.delta"] * 2),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", *["function_call_arguments.delta"] * 2),
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
        (ask("x", previous_response_id="r"), "Previous response with id 'r' not found"),
        (ask("x", conversation="c"), "conversation is not supported"),
        (ask("x", background=True), "background is not supported"),
        (ask([{"type": "computer_call"}]), "input items of type 'computer_call'"),
        (ask("x", text={"format": {"type": "xml"}}), "text.format must be of type"),
    ],
)
@pytest.mark.compat(
    "POST /v1/responses",
    "`conversation`, `background`",
    refused="OpenAI's own servers only",
)
def test_what_cannot_be_answered_is_refused(daemon, body: object, text: str) -> None:
    reply = daemon.post("/v1/responses", body)
    assert reply.status == 400
    assert text in reply.json["error"]["message"]


@pytest.mark.compat("POST /v1/responses", "`previous_response_id`")
def test_a_response_goes_on_behind_the_one_before(daemon) -> None:
    first = daemon.post("/v1/responses", ask("say 4 think call", tools=TOOLS)).json
    call = first["output"][-1]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "7"}
    second = daemon.post("/v1/responses", ask([output], previous_response_id=first["id"])).json
    assert second["previous_response_id"] == first["id"]
    third = ask("say 2", previous_response_id=second["id"], stream=True)
    last = events_of(daemon.post("/v1/responses", third).body)[-1]["response"]
    stored = daemon.state.responses.get(last["id"], "127.0.0.1")
    kinds = [item["type"] for item in stored.items]
    assert kinds == [
        *("message", "reasoning", "message", "function_call", "function_call"),
        *("function_call_output", "message", "message", "message"),
    ]
    messages = parse_response_request(
        ask("and", instructions="be kind"), stored.items
    ).text.messages
    roles = [message["role"] for message in messages]
    assert roles == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert messages[3]["tool_name"] == "f"
    assert len(messages[2]["tool_calls"]) == 2


@pytest.mark.compat("GET /v1/responses/{response_id}", "a stored response")
@pytest.mark.compat("DELETE /v1/responses/{response_id}", "forgetting it")
@pytest.mark.compat("GET /v1/responses/{response_id}/input_items", "its input")
def test_a_response_is_found_again_until_it_is_deleted(daemon) -> None:
    body = daemon.post("/v1/responses", ask("say 2", metadata={"a": "b"})).json
    path = f"/v1/responses/{body['id']}"
    assert daemon.get(path).json == body
    assert body["metadata"] == {"a": "b"}
    items = daemon.get(f"{path}/input_items").json["data"]
    assert [item["content"] for item in items] == ["say 2"]
    assert daemon.call("DELETE", path).json["deleted"] is True
    for method in ("GET", "DELETE"):
        reply = daemon.call(method, path)
        assert reply.status == 404
        assert "not found" in reply.json["error"]["message"]


def test_a_response_that_is_not_to_be_stored_is_not(daemon) -> None:
    body = daemon.post("/v1/responses", ask("say 2", store=False)).json
    assert body["store"] is False
    assert daemon.get(f"/v1/responses/{body['id']}").status == 404


def stored(response_id: str, client: str = "a", text: str = "") -> StoredResponse:
    return StoredResponse(client, {"id": response_id, "output": []}, [{"content": text}], 1)


def test_the_oldest_responses_are_forgotten_first_by_number_and_by_size() -> None:
    store = ResponseStore(max_responses=3, max_bytes=2000)
    for number in range(5):
        store.put(stored(str(number)))
    assert len(store) == 3
    with pytest.raises(NotFound):
        store.get("1", "a")
    store.put(stored("large", text="x" * 1900))
    assert store.get("large", "a")
    store.put(stored("larger", text="x" * 2100))
    assert len(store) == 0


def test_a_client_finds_only_its_own() -> None:
    store = ResponseStore()
    store.put(stored("r", client="a"))
    assert store.get("r", "a").input_items == [{"content": ""}]
    with pytest.raises(NotFound):
        store.get("r", "b")
    with pytest.raises(NotFound):
        store.delete("r", "b")


@pytest.mark.compat(
    "POST /v1/responses", "built-in tools", refused="left out; the response's `tools` says so"
)
def test_tools_that_the_server_would_have_to_run_are_left_out(daemon) -> None:
    body = daemon.post("/v1/responses", ask("say 1", tools=[{"type": "web_search"}, *TOOLS])).json
    assert [tool["name"] for tool in body["tools"]] == ["f"]

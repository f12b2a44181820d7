"""OpenAI's completions over real HTTP, against a worker without a model."""

import json

import pytest


@pytest.fixture(scope="module")
def daemon(shared_daemon):
    return shared_daemon


def say(text: object, **extra: object) -> dict[str, object]:
    return {"model": "pocket", "messages": [{"role": "user", "content": text}], **extra}


@pytest.mark.compat("POST /v1/chat/completions", "one object, with usage and cached tokens")
def test_a_chat_completion_is_one_object(daemon) -> None:
    reply = daemon.post("/v1/chat/completions", say("say 3 think"))
    body = reply.json
    assert body["object"] == "chat.completion"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "w1 w2 ", "reasoning": "w0 "},
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 3,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 5},
    }


@pytest.mark.compat("POST /v1/chat/completions", "streaming, `stream_options`")
def test_a_streamed_chat_ends_with_reason_usage_and_done(daemon) -> None:
    body = say("say 2 think", stream=True, stream_options={"include_usage": True})
    reply = daemon.post("/v1/chat/completions", body)
    assert reply.headers["content-type"] == "text/event-stream"
    thought, text, reason, usage, end = reply.sse
    assert thought["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "",
        "reasoning": "w0 ",
    }
    assert text["choices"][0]["delta"] == {"content": "w1 "}
    assert reason["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 13)
    assert end == "[DONE]"
    assert len({chunk["id"] for chunk in (thought, text, reason, usage)}) == 1


@pytest.mark.compat("POST /v1/chat/completions", "`tools`")
def test_tool_calls_have_text_arguments_and_their_own_reason(daemon) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    (choice,) = daemon.post("/v1/chat/completions", say("say 1 call", tools=tools)).json["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    calls = choice["message"]["tool_calls"]
    assert [(c["index"], json.loads(c["function"]["arguments"])) for c in calls] == [
        (0, {"x": 1}),
        (1, {"x": 2}),
    ]
    chunks = daemon.post("/v1/chat/completions", say("say 1 call", tools=tools, stream=True)).sse
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    parts = [part for delta in deltas for part in delta.get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 1, 1]
    assert [part["function"].get("name") for part in parts] == ["f", None, "f", None]
    assert ["id" in part for part in parts] == [True, False, True, False]
    for index, call in enumerate(calls):
        own = [part["function"]["arguments"] for part in parts if part["index"] == index]
        assert "".join(own) == call["function"]["arguments"]


@pytest.mark.compat("POST /v1/chat/completions", "`n`")
def test_several_choices_are_told_apart_by_index(daemon) -> None:
    body = daemon.post("/v1/chat/completions", say("say 2", n=3)).json
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["prompt_tokens"] == 11
    assert body["usage"]["completion_tokens"] == 6
    chunks = daemon.post("/v1/chat/completions", say("say 2", n=2, stream=True)).sse[:-1]
    texts = {0: "", 1: ""}
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "w0 w1 ", 1: "w0 w1 "}


@pytest.mark.compat("POST /v1/chat/completions", "`max_tokens`, `max_completion_tokens`")
def test_both_names_of_the_token_limit_count(daemon) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        (choice,) = daemon.post("/v1/chat/completions", say("say 9", **{name: 2})).json["choices"]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "w0 w1 ")


@pytest.mark.compat("POST /v1/chat/completions", "content in parts")
def test_parts_of_a_content_are_one_message(daemon) -> None:
    parts = [{"type": "text", "text": "say 1"}, {"type": "text", "text": "and no more"}]
    (choice,) = daemon.post("/v1/chat/completions", say(parts)).json["choices"]
    assert choice["message"]["content"] == "w0 "


@pytest.mark.compat("POST /v1/chat/completions", "`logprobs`, `top_logprobs`")
def test_chat_logprobs_have_openais_form(daemon) -> None:
    (choice,) = daemon.post("/v1/chat/completions", say("say 1", logprobs=True)).json["choices"]
    assert choice["logprobs"]["content"] == [
        {"top_logprobs": [], "token": "w0 ", "bytes": [119, 48, 32], "logprob": -0.5}
    ]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"model": "pocket"}, 400, "[] is too short - 'messages'"),
        (say("x") | {"model": "nope"}, 404, "model 'nope' not found"),
        (say("x", n=0.5), 400, "number 0.5 into Go struct field ChatCompletionRequest.n of type"),
        (say("x", reasoning_effort="hard"), 400, 'invalid reasoning value: "hard"'),
        (say("x", response_format={"type": "yaml"}), 400, "response_format must be"),
        (say([{"type": "image_url", "image_url": "x"}]), 400, "image_url is not supported"),
        (say("x", temperature=-1), 400, "temperature must be between 0 and 100"),
    ],
)
@pytest.mark.compat("POST /v1/chat/completions", "OpenAI's errors")
def test_errors_have_openais_form(daemon, body: object, status: int, text: str) -> None:
    reply = daemon.post("/v1/chat/completions", body)
    error = reply.json["error"]
    assert reply.status == status
    assert text in error["message"]
    assert error["type"] == {400: "invalid_request_error", 404: "not_found_error"}[status]
    assert (error["param"], error["code"]) == (None, None)


def test_an_error_in_a_stream_is_an_event_without_done(start_daemon, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_LOAD_S", "0.2")
    monkeypatch.setenv("FAKE_LOAD", "refuse")
    daemon = start_daemon(heartbeat_s=0.05)
    reply = daemon.post("/v1/chat/completions", say("x", stream=True))
    assert b": still here\n\n" in reply.body
    assert reply.sse[-1]["error"]["message"] == "this cannot be loaded"
    assert b"[DONE]" not in reply.body


@pytest.mark.parametrize(
    ("prompt", "num_choices"),
    [("say 2", 1), (["say 2", "say 2"], 2), ([1, 2, 3], 1), ([[1], [2], [3]], 3)],
)
@pytest.mark.compat("POST /v1/completions", "texts, token ids, lists of them")
def test_a_completion_takes_texts_and_token_ids(daemon, prompt: object, num_choices: int) -> None:
    body = daemon.post("/v1/completions", {"model": "pocket", "prompt": prompt}).json
    assert body["object"] == "text_completion"
    assert len(body["choices"]) == num_choices


@pytest.mark.compat("POST /v1/completions", "`echo`, `logprobs`")
def test_a_completion_can_echo_its_prompt_and_show_logprobs(daemon) -> None:
    body = {"model": "pocket", "prompt": "say 2", "echo": True}
    (choice,) = daemon.post("/v1/completions", body).json["choices"]
    assert choice["text"] == "say 2w0 w1 "
    body = {"model": "pocket", "prompt": "say 2", "logprobs": 0}
    (choice,) = daemon.post("/v1/completions", body).json["choices"]
    assert choice["logprobs"]["tokens"] == ["w0 ", "w1 "]
    assert choice["logprobs"]["text_offset"] == [0, 3]


@pytest.mark.compat("GET /v1/models", "the library")
@pytest.mark.compat("GET /v1/models/{name}", "one model")
def test_models_are_listed_and_found(daemon) -> None:
    (model,) = daemon.get("/v1/models").json["data"]
    assert (model["id"], model["owned_by"]) == ("pocket:latest", "library")
    assert daemon.get("/v1/models/pocket").json == model
    reply = daemon.get("/v1/models/nope")
    assert (reply.status, reply.json["error"]["type"]) == (404, "not_found_error")

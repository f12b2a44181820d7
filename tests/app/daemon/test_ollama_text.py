"""`/api/chat` and `/api/generate` over real HTTP, against a worker without a model."""

import pytest


@pytest.fixture(scope="module")
def daemon(shared_daemon):
    return shared_daemon


def say(text: str, **extra: object) -> dict[str, object]:
    return {"model": "pocket", "messages": [{"role": "user", "content": text}], **extra}


@pytest.mark.compat("POST /api/chat", "streaming, with durations and counts")
def test_a_chat_streams_chunks_and_ends_with_metrics(daemon) -> None:
    reply = daemon.post("/api/chat", say("say 3"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/x-ndjson"
    *chunks, final = reply.lines
    assert [chunk["message"] for chunk in chunks] == [
        {"role": "assistant", "content": f"w{n} "} for n in range(3)
    ]
    assert all(chunk["done"] is False and chunk["model"] == "pocket" for chunk in chunks)
    assert final["message"] == {"role": "assistant", "content": ""}
    assert (final["done"], final["done_reason"]) == (True, "stop")
    assert final["prompt_eval_count"] == 11
    assert final["prompt_eval_duration"] == 500_000_000
    assert final["eval_count"] == 3
    assert final["total_duration"] >= final["load_duration"] > 0
    assert final["cached_prompt_tokens"] == 5
    assert final["draft"] == {"accepted": 2, "proposed": 4}


@pytest.mark.compat("POST /api/chat", "one object")
def test_a_chat_that_is_not_streamed_is_one_object(daemon) -> None:
    reply = daemon.post("/api/chat", say("say 3 think", stream=False))
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.json["message"] == {
        "role": "assistant",
        "content": "w1 w2 ",
        "thinking": "w0 ",
    }
    assert reply.json["done"] is True


@pytest.mark.compat("POST /api/chat", "any content type")
def test_the_content_type_of_a_request_does_not_matter(daemon) -> None:
    body = b'{"model": "pocket", "prompt": "say 1", "stream": false}'
    reply = daemon.call(
        "POST", "/api/generate", body, {"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert reply.json["response"] == "w0 "


@pytest.mark.compat("POST /api/generate", "`context`")
def test_generate_gives_prompt_and_output_as_context(daemon) -> None:
    final = daemon.post("/api/generate", {"model": "pocket", "prompt": "say 2"}).lines[-1]
    assert final["context"] == [1, 2, 3, 0, 1]
    assert final["response"] == ""


@pytest.mark.compat("POST /api/generate", "`raw`")
def test_raw_generate_gives_no_context(daemon) -> None:
    body = {"model": "pocket", "prompt": "say 2", "raw": True}
    assert "context" not in daemon.post("/api/generate", body).lines[-1]


@pytest.mark.compat("POST /api/chat", "`tools`")
def test_tool_calls_have_ids_and_rising_indexes(daemon) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    chunks = daemon.post("/api/chat", say("say 2 call", tools=tools)).lines
    (calls,) = [c["message"]["tool_calls"] for c in chunks if "tool_calls" in c["message"]]
    assert [call["function"] for call in calls] == [
        {"index": 0, "name": "f", "arguments": {"x": 1}},
        {"index": 1, "name": "f", "arguments": {"x": 2}},
    ]
    assert all(call["id"].startswith("call_") and len(call["id"]) == 13 for call in calls)


@pytest.mark.compat("POST /api/chat", "`logprobs`")
def test_logprobs_come_with_their_chunk(daemon) -> None:
    chunks = daemon.post("/api/chat", say("say 1", logprobs=True, top_logprobs=0)).lines
    assert chunks[0]["logprobs"] == [{"token": "w0 ", "bytes": [119, 48, 32], "logprob": -0.5}]
    assert "logprobs" not in chunks[1]


@pytest.mark.compat("POST /api/chat", "`options`")
def test_num_predict_ends_an_answer_with_length(daemon) -> None:
    final = daemon.post("/api/chat", say("say 9", options={"num_predict": 2})).lines[-1]
    assert (final["done_reason"], final["eval_count"]) == ("length", 2)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.compat("POST /api/generate", "`keep_alive`, loading and unloading")
def test_an_empty_prompt_loads_and_keep_alive_zero_unloads(daemon, path: str, wait_until) -> None:
    loaded = daemon.post(path, {"model": "pocket"}).json
    assert (loaded["done"], loaded["done_reason"]) == (True, "load")
    assert [model["name"] for model in daemon.get("/api/ps").json["models"]] == ["pocket:latest"]
    unloaded = daemon.post(path, {"model": "pocket", "keep_alive": 0}).json
    assert unloaded["done_reason"] == "unload"
    wait_until(lambda: daemon.get("/api/ps").json == {"models": []})


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/chat", b"{", 400, "unexpected EOF"),
        (
            "/api/chat",
            b"{x}",
            400,
            "invalid character 'x' looking for beginning of object key string",
        ),
        ("/api/chat", {"messages": []}, 400, "model is required"),
        ("/api/chat", {"model": "nope"}, 404, "model 'nope' not found"),
        ("/api/generate", {"prompt": "x"}, 404, "model '' not found"),
        (
            "/api/chat",
            {"model": 5},
            400,
            "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
        ),
        (
            "/api/chat",
            say("x", think="hard"),
            400,
            'invalid think value: "hard" (must be "high", "medium", "low", "max", true, or false)',
        ),
        (
            "/api/chat",
            say("x", options={"temperature": "hot"}),
            400,
            'option "temperature" must be of type float32',
        ),
        ("/api/chat", say("x", top_logprobs=21), 400, "top_logprobs must be between 0 and 20"),
        ("/api/chat", say("x", keep_alive="soon"), 400, 'time: invalid duration "soon"'),
        (
            "/api/generate",
            {"model": "pocket", "prompt": "x", "raw": True, "system": "s"},
            400,
            "raw mode does not support template, system, or context",
        ),
        (
            "/api/chat",
            say("too long"),
            400,
            "the prompt has 5000 tokens; the context holds 4096",
        ),
    ],
)
@pytest.mark.compat("POST /api/generate", "Ollama's error texts")
def test_a_bad_request_is_answered_in_the_words_clients_know(
    daemon, path: str, body: object, status: int, text: str
) -> None:
    reply = daemon.post(path, body)
    assert (reply.status, reply.json["error"]) == (status, text)


@pytest.mark.compat("POST /api/chat", "what a model cannot: tools, thinking")
def test_a_model_that_cannot_do_it_says_so(daemon, plain_file) -> None:
    for extra, text in (
        ({"think": True}, f'"{plain_file}" does not support thinking'),
        ({"tools": [{"type": "function"}]}, "does not support tools"),
    ):
        reply = daemon.post("/api/chat", say("x", **extra) | {"model": str(plain_file)})
        assert reply.status == 400
        assert text in reply.json["error"]


def test_wrong_methods_and_paths_are_told_apart(daemon) -> None:
    assert daemon.get("/api/chat").status == 405
    assert daemon.get("/api/nothing").status == 404


def test_unknown_fields_and_options_are_ignored(daemon) -> None:
    body = say("say 1", surprise=1, options={"mirostat": 1, "banana": 2}, stream=False)
    assert daemon.post("/api/chat", body).json["message"]["content"] == "w0 "


@pytest.mark.compat("POST /api/chat", "`images`", refused="text models only")
@pytest.mark.compat("POST /api/generate", "`images`", refused="text models only")
def test_what_is_not_offered_is_refused_by_name(shared_daemon) -> None:
    message = {"role": "user", "content": "x", "images": ["aGk="]}
    for path, body, text in (
        ("/api/chat", {"messages": [message]}, "does not support images"),
        ("/api/generate", {"prompt": "x", "images": ["aGk="]}, "does not support images"),
    ):
        reply = shared_daemon.post(path, {"model": "pocket", **body})
        assert (reply.status, text in reply.json["error"]) == (400, True)

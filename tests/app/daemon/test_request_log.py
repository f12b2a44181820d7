"""Request ids and what is logged of a request."""

import logging

import pytest


@pytest.fixture
def fields(caplog: pytest.LogCaptureFixture):
    """The fields of the records with a message; others of the process may come first."""
    caplog.set_level(logging.DEBUG, logger="localllm.requests")
    return lambda message: [r.fields for r in caplog.records if r.message == message]


def test_every_reply_has_an_id_of_its_own(shared_daemon) -> None:
    ids = {shared_daemon.get(path).headers["x-request-id"] for path in ("/", "/api/ps", "/none")}
    assert len(ids) == 3


def test_a_streams_id_is_that_of_its_answers(shared_daemon) -> None:
    body = {"model": "pocket", "messages": [{"role": "user", "content": "say 1"}], "n": 2}
    reply = shared_daemon.post("/v1/chat/completions", body)
    assert reply.json["id"] == f"chatcmpl-{reply.headers['x-request-id']}"


def test_an_answer_is_logged_without_its_words(daemon, fields, wait_until) -> None:
    body = {"model": "pocket", "prompt": "say 3", "stream": False}
    daemon.call("POST", "/api/generate", body, {"x-request-id": "theirs"})
    wait_until(lambda: any(r["path"] == "/api/generate" for r in fields("request")))
    answer = fields("answer")[-1]
    assert (answer["model"], answer["outcome"]) == ("pocket:latest", "stop")
    assert (answer["prompt_tokens"], answer["output_tokens"]) == (11, 3)
    assert not {"prompt", "answer"} & set(answer)
    request = fields("request")[-1]
    assert (request["path"], request["status"]) == ("/api/generate", 200)
    assert request["client_request_id"] == "theirs"


def test_prompts_are_logged_where_they_are_asked_for(daemon, fields, wait_until) -> None:
    daemon.state.measures.log_prompts = True
    daemon.post("/api/generate", {"model": "pocket", "prompt": "say 2", "stream": False})
    wait_until(lambda: any("prompt" in r for r in fields("answer")))
    answer = fields("answer")[-1]
    assert answer["prompt"] == [{"role": "user", "content": "say 2"}]
    assert answer["answer"] == "w0 w1 "


def test_each_prompt_of_a_request_is_counted_and_each_choice_shares_one(shared_daemon) -> None:
    body = {"model": "pocket", "prompt": ["say 1", "say 2"], "n": 2}
    usage = shared_daemon.post("/v1/completions", body).json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (22, 6)

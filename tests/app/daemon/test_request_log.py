"""Request ids and what is logged of a request."""

import logging
from typing import Any

import pytest

from app.daemon.request_id import current_request_id


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture):
    """The fields of the records with a message that the request of a reply has left."""

    def note_id(record: logging.LogRecord) -> bool:
        record.request_id = current_request_id()
        return True

    logger = logging.getLogger("localllm.requests")
    caplog.set_level(logging.DEBUG, logger=logger.name)
    logger.addFilter(note_id)

    def find(reply: Any, message: str) -> list[dict[str, Any]]:
        records = [r for r in caplog.records if r.name == logger.name and r.message == message]
        return [r.fields for r in records if r.request_id == reply.headers["x-request-id"]]

    yield find
    logger.removeFilter(note_id)


def test_every_reply_has_an_id_of_its_own(shared_daemon) -> None:
    ids = {shared_daemon.get(path).headers["x-request-id"] for path in ("/", "/api/ps", "/none")}
    assert len(ids) == 3


def test_a_streams_id_is_that_of_its_answers(shared_daemon) -> None:
    body = {"model": "pocket", "messages": [{"role": "user", "content": "say 1"}], "n": 2}
    reply = shared_daemon.post("/v1/chat/completions", body)
    assert reply.json["id"] == f"chatcmpl-{reply.headers['x-request-id']}"


def test_an_answer_is_logged_without_its_words(daemon, logged, wait_until) -> None:
    body = {"model": "pocket", "prompt": "say 3", "stream": False}
    reply = daemon.call("POST", "/api/generate", body, {"x-request-id": "theirs"})
    wait_until(lambda: bool(logged(reply, "request")))
    (answer,), (request,) = logged(reply, "answer"), logged(reply, "request")
    assert (answer["model"], answer["outcome"]) == ("pocket:latest", "stop")
    assert (answer["prompt_tokens"], answer["output_tokens"]) == (11, 3)
    assert not {"prompt", "answer"} & set(answer)
    assert (request["path"], request["status"]) == ("/api/generate", 200)
    assert request["client_request_id"] == "theirs"


def test_prompts_are_logged_where_they_are_asked_for(daemon, logged, wait_until) -> None:
    daemon.state.measures.log_prompts = True
    body = {"model": "pocket", "prompt": "say 2", "stream": False}
    reply = daemon.post("/api/generate", body)
    wait_until(lambda: bool(logged(reply, "request")))
    (answer,) = logged(reply, "answer")
    assert answer["prompt"] == [{"role": "user", "content": "say 2"}]
    assert answer["answer"] == "w0 w1 "


def test_each_prompt_of_a_request_is_counted_and_each_choice_shares_one(shared_daemon) -> None:
    body = {"model": "pocket", "prompt": ["say 1", "say 2"], "n": 2}
    usage = shared_daemon.post("/v1/completions", body).json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (22, 6)

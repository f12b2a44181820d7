"""`/api/why` and `localllm why` find a request by the id its answer carried."""

import json

import pytest
from click.testing import CliRunner

from app.cli.why import why_command
from tests.app.daemon.conftest import Daemon

CHAT = {"model": "pocket", "messages": [{"role": "user", "content": "say 2"}]}


@pytest.mark.compat("GET /api/why/{request_id}", "why so much of a prompt was reused")
def test_an_answer_names_its_request_and_why_takes_the_name(daemon: Daemon) -> None:
    streamed = daemon.post("/api/chat", CHAT)
    whole = daemon.post("/v1/chat/completions", CHAT)
    for name in (streamed.headers["x-request-id"], whole.json["id"]):
        found = daemon.get(f"/api/why/{name}").json
        assert found["request_id"].partition(".")[0] in name
        assert found["cause"] == "first"


def test_an_id_that_no_model_knows_is_not_found(daemon: Daemon) -> None:
    assert daemon.get("/api/why/unknown").status == 404
    daemon.post("/api/chat", CHAT)
    assert daemon.get("/api/why/unknown").status == 404


def test_the_command_shows_the_first_token_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "model": "tiny:latest", "request_id": "b.0", "cause": "reused", "num_prompt_tokens": 21,
        "num_cached_tokens": 9, "num_shared_tokens": 9, "nearest_request_id": "a.0",
        "shared_text": "Today is the 2", "text": "1st", "nearest_text": "0th", "token": "1",
        "nearest_token": None,
    }  # fmt: skip
    monkeypatch.setattr("app.client.DaemonClient.why", lambda _self, _id: found)
    text = CliRunner().invoke(why_command, ["b"]).output
    assert "9 of 21 prompt tokens" in text
    assert "token '1' in '1st'" in text
    assert "(the prompt ends)" in text
    assert json.loads(CliRunner().invoke(why_command, ["b", "--json"]).output) == found

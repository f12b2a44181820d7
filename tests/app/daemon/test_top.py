"""The live view: what `/api/top` tells, and how `localllm top` shows it."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli.top import format_top, top_command


@pytest.fixture
def top(daemon, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command against the daemon."""
    monkeypatch.setenv("LOCALLLM_HOST", f"127.0.0.1:{daemon.port}")
    return lambda *arguments: CliRunner().invoke(top_command, arguments)


def test_an_idle_daemon_has_nothing_to_show(daemon, top) -> None:
    state = daemon.get("/api/top").json
    assert (state["models"], state["requests"], state["queue_depth"]) == ([], [], 0)
    assert "no model is loaded" in top("--once").output


@pytest.mark.compat("GET /api/top", "models, speed, running requests")
def test_models_and_running_requests_are_shown(daemon, top, wait_until) -> None:
    body = {"model": "pocket", "prompt": "say 500 every 0.02"}
    stream = daemon.open_stream("/api/generate", body)
    wait_until(lambda: any(r["output_tokens"] > 2 for r in daemon.get("/api/top").json["requests"]))
    state = json.loads(top("--json", "--once").output)
    (model,) = state["models"]
    assert (model["name"], model["loaded"]) == ("pocket:latest", True)
    assert model["output_tokens_per_s"] > 0
    (request,) = state["requests"]
    assert (request["state"], request["prompt_tokens"]) == ("decode", 11)
    assert "say 500" not in json.dumps(state)
    output = top().output
    assert "pocket:latest" in output
    assert request["id"][:12] in output
    stream.close()
    wait_until(lambda: daemon.get("/api/top").json["requests"] == [])


def test_a_request_that_waits_for_its_prompt_says_so(daemon, wait_until) -> None:
    stream = daemon.open_stream("/api/generate", {"model": "pocket", "prompt": "say 1 silent 60"})
    wait_until(lambda: len(daemon.get("/api/top").json["requests"]) == 1)
    (request,) = daemon.get("/api/top").json["requests"]
    assert (request["state"], request["output_tokens"]) == ("waiting", 0)
    stream.close()


def test_numbers_stand_under_their_headers() -> None:
    model = {
        "name": "pocket:latest",
        "loaded": False,
        "size_bytes": 8_000_000,
        "output_tokens_per_s": 41.25,
        "running": 2,
        "waiting": 1,
        "kv_use": 0.5,
        "prefix_hit_rate": None,
        "acceptance": 0.75,
        "output_tokens": 1234,
    }
    request = {
        "id": "0123456789abcdef.0",
        "model": "pocket:latest",
        "state": "prefill",
        "elapsed_s": 1.26,
        "prompt_tokens": 900,
        "computed_tokens": 512,
        "output_tokens": 0,
        "tokens_per_s": None,
    }
    counts = {"version": "1", "uptime_s": 61.0, "queue_depth": 3, "max_queue": 512}
    state = {**counts, "requests_refused": 0, "models": [model], "requests": [request]}
    lines = format_top(state)
    assert lines[0] == "localllm 1, up 1 minute   41.2 tokens/s   queue 3 of 512   refused 0"
    row = "pocket:latest (loading) 8 MB 41.2 2 1 50% - 75% 1234"
    assert lines[3].split() == row.split()
    assert len(lines[2]) == len(lines[3])
    assert "512/900" in lines[6]

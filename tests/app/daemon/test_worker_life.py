"""Workers that die, are left alone, are too many or too slow; clients that leave."""

import json
import os
import signal
import socket
import time
from dataclasses import replace

import pytest


def say(text: str, **extra: object) -> dict[str, object]:
    return {"model": "pocket", "messages": [{"role": "user", "content": text}], **extra}


def text_of(chunks: list[dict]) -> str:
    return "".join(chunk["message"]["content"] for chunk in chunks)


def read_until(stream: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        part = stream.recv(65536)
        assert part, f"the stream ended before {text!r}"
        data += part
    return data


@pytest.mark.compat("POST /api/chat", "goes on when a worker dies")
def test_an_answer_goes_on_with_the_same_text_when_its_worker_dies(daemon) -> None:
    chunks = daemon.post("/api/chat", say("say 9 die 4")).lines
    assert text_of(chunks) == "w0 w1 w2 w3 w4 w5 w6 w7 w8 "
    assert chunks[-1]["done_reason"] == "stop"
    assert [line for line in daemon.worker_log() if "generate" in line] == [
        "generate 0",
        "generate 4",
    ]


def test_a_killed_worker_costs_no_stream_its_text(daemon) -> None:
    streams = [daemon.open_stream("/api/chat", say("say 40 every 0.02")) for _ in range(3)]
    for stream in streams:
        read_until(stream, b"w2 ")
    os.kill(daemon.worker_pids()[0], signal.SIGKILL)
    for stream in streams:
        data = read_until(stream, b'"done":true')
        assert b'"error"' not in data
        lines = [json.loads(line) for line in data.splitlines() if line[:1] == b"{"]
        assert text_of(lines).endswith("".join(f"w{n} " for n in range(30, 40)))
        stream.close()


def test_the_second_death_of_a_request_ends_it_with_an_error(daemon, wait_until) -> None:
    stream = daemon.open_stream("/api/chat", say("say 1000 every 0.01"))
    read_until(stream, b"w2 ")
    first = daemon.worker_pids()[0]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: sum("generate" in line for line in daemon.worker_log()) == 2)
    assert daemon.worker_pids()[0] != first
    os.kill(daemon.worker_pids()[0], signal.SIGKILL)
    data = read_until(stream, b'"error"')
    assert b"died twice during this request" in data
    assert b"SIGKILL" in data
    stream.close()
    assert daemon.post("/api/chat", say("say 1", stream=False)).status == 200


def test_a_client_that_leaves_is_forgotten_at_once(daemon, wait_until) -> None:
    stream = daemon.open_stream("/api/chat", say("say 100000 every 0.01"))
    read_until(stream, b"w2 ")
    stream.close()
    wait_until(lambda: any("abort" in line for line in daemon.worker_log()))
    assert daemon.state.num_requests == 0


def test_a_client_that_leaves_during_the_prompt_is_forgotten_too(daemon, wait_until) -> None:
    for stream_flag in (True, False):
        body = say("say 1 silent 60", stream=stream_flag)
        stream = daemon.open_stream("/api/chat", body)
        wait_until(lambda: "generate 0" in daemon.worker_log())
        stream.close()
        wait_until(lambda: any("abort" in line for line in daemon.worker_log()))
        daemon.log.unlink()


def test_a_slow_reader_holds_nobody_up(daemon) -> None:
    slow = daemon.open_stream("/api/chat", say("say 20000"))
    started = time.monotonic()
    assert daemon.post("/api/chat", say("say 3", stream=False)).json["eval_count"] == 3
    assert time.monotonic() - started < 10
    slow.close()


def test_one_worker_serves_all_who_ask_at_once(daemon) -> None:
    streams = [daemon.open_stream("/api/chat", say("say 5 every 0.01")) for _ in range(8)]
    for stream in streams:
        read_until(stream, b'"done":true')
        stream.close()
    assert len([line for line in daemon.worker_log() if line.startswith("load")]) == 1


def test_a_model_is_unloaded_when_its_time_is_over(daemon, wait_until) -> None:
    daemon.post("/api/chat", say("say 1", keep_alive=0.05))
    wait_until(lambda: daemon.get("/api/ps").json["models"] == [])
    wait_until(lambda: "shutdown" in daemon.worker_log())


@pytest.mark.compat("GET /api/ps", "what is loaded, until when")
def test_keep_alive_of_minus_one_never_expires(daemon) -> None:
    daemon.post("/api/chat", say("say 1", keep_alive=-1))
    (model,) = daemon.get("/api/ps").json["models"]
    assert model["expires_at"] > "2100"
    assert model["size"] == model["size_vram"] == 3000
    assert model["context_length"] == 4096


def test_kernels_that_a_model_does_without_are_listed(daemon) -> None:
    daemon.post("/api/chat", say("say 1", keep_alive=-1))
    assert "replaced_kernels" not in daemon.get("/api/ps").json["models"][0]
    (worker,) = daemon.state.pool.workers
    worker.ready = replace(worker.ready, replaced_kernels=("kv_write: relative error 2",))
    (model,) = daemon.get("/api/ps").json["models"]
    assert model["replaced_kernels"] == ["kv_write: relative error 2"]


def test_the_model_used_least_recently_makes_room(start_daemon, plain_file) -> None:
    daemon = start_daemon(max_loaded_models=1)
    daemon.post("/api/chat", say("say 1"))
    daemon.post("/api/chat", {**say("say 1"), "model": str(plain_file)})
    assert [model["name"] for model in daemon.get("/api/ps").json["models"]] == ["plain"]
    assert daemon.state.pool.totals["pocket:latest"]["num_unloaded_for_room"] == 1


def test_a_model_in_use_is_waited_for(start_daemon, plain_file) -> None:
    daemon = start_daemon(max_loaded_models=1, load_timeout_s=30.0)
    stream = daemon.open_stream("/api/chat", say("say 20 every 0.02"))
    read_until(stream, b"w1 ")
    reply = daemon.post("/api/chat", {**say("say 1", stream=False), "model": str(plain_file)})
    assert reply.status == 200
    read_until(stream, b'"done":true')
    stream.close()


def test_a_model_that_cannot_be_loaded_says_why(daemon, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_LOAD", "refuse")
    reply = daemon.post("/api/chat", say("say 1"))
    assert (reply.status, reply.json["error"]) == (400, "this cannot be loaded")
    assert reply.json["hint"] == "try another"
    monkeypatch.setenv("FAKE_LOAD", "die")
    reply = daemon.post("/api/chat", say("say 1"))
    assert reply.status == 500
    assert "ended: exit code 3" in reply.json["error"]
    monkeypatch.delenv("FAKE_LOAD")
    assert daemon.post("/api/chat", say("say 1")).status == 200


def test_a_load_that_takes_too_long_is_given_up(start_daemon, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_LOAD_S", "30")
    daemon = start_daemon(load_timeout_s=0.3)
    reply = daemon.post("/api/chat", say("say 1"))
    assert reply.status == 503
    assert "was not loaded after 0.3 s" in reply.json["error"]


@pytest.mark.compat("POST /api/chat", "heartbeats in long silence")
@pytest.mark.compat("POST /v1/chat/completions", "heartbeats in long silence")
def test_silence_is_filled_with_chunks_that_say_nothing(start_daemon) -> None:
    daemon = start_daemon(heartbeat_s=0.05)
    chunks = daemon.post("/api/chat", say("say 2 silent 0.3")).lines
    beats = [chunk for chunk in chunks if "progress" in chunk]
    assert len(beats) >= 2
    assert all(b["message"]["content"] == "" and b["done"] is False for b in beats)
    assert text_of(chunks) == "w0 w1 "


def test_an_error_after_the_first_byte_is_a_line_of_the_stream(start_daemon, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_LOAD_S", "0.3")
    monkeypatch.setenv("FAKE_LOAD", "refuse")
    daemon = start_daemon(heartbeat_s=0.05)
    reply = daemon.post("/api/chat", say("say 1"))
    assert reply.status == 200
    assert reply.lines[-1] == {
        "error": "this cannot be loaded",
        "hint": "try another",
        "kind": "InvalidInput",
        "status": 400,
    }


@pytest.mark.compat("POST /api/chat", "503 with Retry-After when the queue is full")
def test_a_full_queue_is_said_to_be_full(start_daemon) -> None:
    daemon = start_daemon(max_queue=1)
    stream = daemon.open_stream("/api/chat", say("say 100 every 0.05"))
    read_until(stream, b"w1 ")
    reply = daemon.post("/api/chat", say("say 1"))
    assert reply.status == 503
    assert reply.json["error"] == (
        "server busy, please try again.  maximum pending requests exceeded"
    )
    assert reply.headers["retry-after"] == "1"
    stream.close()


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_body_beyond_the_limit_is_refused(daemon, path: str, monkeypatch) -> None:
    monkeypatch.setattr("app.daemon.state.MAX_BODY_BYTES", 1 << 20)
    assert daemon.post(path, say("x" * (1 << 20))).status == 413

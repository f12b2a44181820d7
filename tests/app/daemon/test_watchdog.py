"""Workers that are stuck are noticed, replaced and, the second time, given up."""

import os
import signal
import time

import pytest

from app.daemon.workers.watchdog import step_limit_s
from tests.app.daemon.test_worker_life import read_until, say, text_of


def test_a_stuck_step_is_noticed_and_its_answer_goes_on_elsewhere(start_daemon) -> None:
    daemon = start_daemon(step_timeout_s=0.3)
    chunks = daemon.post("/api/chat", say("say 6 hang 3")).lines
    assert text_of(chunks) == "w0 w1 w2 w3 w4 w5 "
    assert chunks[-1]["done_reason"] == "stop"
    (worker,) = daemon.state.pool.workers
    assert worker.num_restarts == 1


def test_the_second_time_is_an_error_that_says_so(start_daemon) -> None:
    daemon = start_daemon(step_timeout_s=0.05)
    reply = daemon.post("/api/chat", say("say 6 hang 0", stream=False))
    assert reply.status == 500
    assert "died twice during this request (stuck: a step took longer" in reply.json["error"]


def test_a_worker_that_was_stopped_from_outside_is_replaced(start_daemon) -> None:
    daemon = start_daemon(step_timeout_s=0.3)
    stream = daemon.open_stream("/api/chat", say("say 30 every 0.02"))
    read_until(stream, b"w3 ")
    os.kill(daemon.worker_pids()[0], signal.SIGSTOP)
    data = read_until(stream, b'"done":true')
    assert b'"error"' not in data
    assert b"w29 " in data
    stream.close()


def test_an_idle_or_slow_worker_is_left_alone(start_daemon) -> None:
    daemon = start_daemon(step_timeout_s=0.2)
    assert daemon.post("/api/chat", say("say 1")).status == 200
    (pid,) = daemon.worker_pids()
    time.sleep(0.6)
    assert (
        text_of(daemon.post("/api/chat", say("say 3 every 0.1 silent 0.15")).lines) == "w0 w1 w2 "
    )
    assert daemon.worker_pids() == [pid]


def test_a_limit_grows_with_the_tokens_of_a_step() -> None:
    limits = [step_limit_s(10.0, number) for number in (0, 32, 512, 8000)]
    assert limits == [10.0, 15.0, 90.0, 90.0]


def test_ps_does_not_list_a_model_whose_worker_is_dead(daemon, wait_until) -> None:
    daemon.post("/api/chat", say("say 1"))
    (pid,) = daemon.worker_pids()
    assert len(daemon.get("/api/ps").json["models"]) == 1
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: daemon.get("/api/ps").json["models"] == [])
    assert text_of(daemon.post("/api/chat", say("say 2")).lines) == "w0 w1 "


@pytest.mark.parametrize("value", ["inf", "-1"])
def test_watching_can_be_turned_off(value: str) -> None:
    from app.settings import read_settings

    assert read_settings({"LOCALLLM_STEP_TIMEOUT": value}).step_timeout_s == float("inf")

"""Who asks: fair places in the queue, priorities and deadlines."""

import pytest

from app.daemon.caller import Caller, caller_of
from app.daemon.state import State
from app.settings import Settings
from models.errors import Busy, InvalidInput
from tests.app.daemon.test_worker_life import read_until, say, text_of


class FakeRequest:
    """What a caller is read from."""

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.state = type("State", (), {"client": "key phone"})


def test_a_caller_is_its_key_its_priority_and_its_patience() -> None:
    asked = FakeRequest(x_localllm_priority="3", x_localllm_timeout="1m")
    assert caller_of(asked, 5.0) == Caller("key phone", 3, 60.0)  # type: ignore[arg-type]
    assert caller_of(FakeRequest(), 5.0) == Caller("key phone", 0, 5.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["-1", "10", "high"])
def test_a_priority_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="must be between 0 and 9"):
        caller_of(FakeRequest(x_localllm_priority=value), 5.0)  # type: ignore[arg-type]


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be more than nothing"):
        caller_of(FakeRequest(x_localllm_timeout="0s"), 5.0)  # type: ignore[arg-type]


def test_one_client_cannot_take_the_last_places_of_the_queue(tmp_path) -> None:
    settings = Settings(home=tmp_path, max_queue=16)
    state = State(settings, catalog=None, pool=None)  # type: ignore[arg-type]
    held = [state.admitted("greedy") for _ in range(14)]
    for each in held:
        each.__enter__()
    with pytest.raises(Busy):
        state.admitted("greedy").__enter__()
    with state.admitted("modest"), state.admitted("shy"):
        assert state.num_requests == 16
        with pytest.raises(Busy):
            state.admitted("late").__enter__()
    for each in held:
        each.__exit__(None, None, None)
    assert (state.num_requests, dict(state.num_requests_of)) == (0, {})


def test_an_answer_that_takes_too_long_is_ended_and_forgotten(daemon, wait_until) -> None:
    daemon.post("/api/chat", say("say 1"))
    headers = {"X-LocalLLM-Timeout": "1.5"}
    whole = daemon.call("POST", "/api/chat", say("say 9 silent 60", stream=False), headers)
    assert whole.status == 504
    assert "not complete after 1.5 s" in whole.json["error"]
    streamed = daemon.call("POST", "/api/chat", say("say 9000 every 0.05"), headers).lines
    assert streamed[-1]["status"] == 504
    assert "w0" in streamed[0]["message"]["content"]
    wait_until(lambda: sum("abort" in line for line in daemon.worker_log()) == 2)
    assert daemon.state.num_requests == 0


def test_a_setting_limits_every_answer(start_daemon) -> None:
    daemon = start_daemon(request_timeout_s=5.0)
    assert text_of(daemon.post("/api/chat", say("say 2")).lines) == "w0 w1 "
    assert daemon.post("/v1/chat/completions", say("say 9 silent 60")).status == 504


def test_a_worker_is_told_whose_a_request_is_and_how_urgent(daemon) -> None:
    stream = daemon.open_stream("/api/chat", say("say 1"))
    read_until(stream, b'"done":true')
    stream.close()
    daemon.call("POST", "/api/chat", say("say 1"), {"X-LocalLLM-Priority": "4"})
    assert [line for line in daemon.worker_log() if line.startswith("for")] == [
        "for 127.0.0.1 priority 0",
        "for 127.0.0.1 priority 4",
    ]

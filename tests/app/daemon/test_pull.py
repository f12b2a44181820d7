"""`/api/pull` around a download that the test plays."""

import threading
from collections.abc import Callable, Iterator

import pytest

from models.errors import NotFound
from models.hub.pull import PullProgress

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def play(monkeypatch) -> Callable[..., threading.Event]:
    """Makes pulls give these events; what comes back is set when a pull is closed."""

    def start(*events: PullProgress | Exception | threading.Event) -> threading.Event:
        closed = threading.Event()

        def pull(_name: object, _library: object) -> Iterator[PullProgress]:
            try:
                for event in events:
                    if isinstance(event, Exception):
                        raise event
                    if isinstance(event, threading.Event):
                        while not event.wait(0.01):
                            yield PullProgress("waiting")
                        continue
                    yield event
            finally:
                closed.set()

        monkeypatch.setattr("app.daemon.ollama.pull_routes.pull", pull)
        return closed

    return start


@pytest.mark.compat("POST /api/pull", "progress, going on where it stopped")
def test_a_pull_is_followed_line_by_line(daemon, play) -> None:
    play(
        PullProgress("pulling manifest"),
        PullProgress("pulling aaaaaaaaaaaa", DIGEST, 100, 0),
        PullProgress("pulling aaaaaaaaaaaa", DIGEST, 100, 100),
        PullProgress("success"),
    )
    reply = daemon.post("/api/pull", {"model": "org/repo"})
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.lines == [
        {"status": "pulling manifest"},
        {"status": "pulling aaaaaaaaaaaa", "digest": DIGEST, "total": 100},
        {"status": "pulling aaaaaaaaaaaa", "digest": DIGEST, "total": 100, "completed": 100},
        {"status": "success"},
    ]
    assert daemon.post("/api/pull", {"name": "org/repo", "stream": False}).json == {
        "status": "success"
    }


def test_a_pull_that_fails_says_so_where_it_still_can(daemon, play) -> None:
    play(PullProgress("pulling manifest"), NotFound("no such repository", hint="look again"))
    error = {"error": "no such repository", "kind": "NotFound", "hint": "look again"}
    assert daemon.post("/api/pull", {"model": "org/repo"}).lines[-1] == error | {"status": 404}
    reply = daemon.post("/api/pull", {"model": "org/repo", "stream": False})
    assert (reply.status, reply.json) == (404, error)


def test_a_bad_name_is_refused_before_anything(daemon) -> None:
    for name in ("", "a b"):
        reply = daemon.post("/api/pull", {"model": name})
        assert (reply.status, reply.json["error"]) == (400, "invalid model name")


def test_a_client_that_leaves_ends_the_pull(daemon, play) -> None:
    never = threading.Event()
    closed = play(PullProgress("pulling manifest"), never)
    stream = daemon.open_stream("/api/pull", {"model": "org/repo"})
    stream.recv(1000)
    stream.close()
    assert closed.wait(10)


@pytest.mark.compat(
    "POST /api/push", "uploads to a registry", refused="nothing leaves this machine"
)
@pytest.mark.compat("POST /api/me", "accounts", refused="there are none")
@pytest.mark.compat("POST /v1/audio/transcriptions", "speech", refused="text models only")
def test_what_is_not_offered_says_so(daemon) -> None:
    reply = daemon.post("/api/push", {"model": "x"})
    assert (reply.status, reply.json["error"]) == (400, "push is not supported")
    assert daemon.post("/api/me").status == 401
    heard = daemon.post("/v1/audio/transcriptions", b"RIFF")
    assert (heard.status, heard.json["error"]["message"]) == (400, "audio is not supported")
    assert daemon.get("/api/experimental/model-recommendations").status == 400

"""A daemon of canned answers, and the app in front of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.history import History
from app.tui.app import ChatApp
from models.errors import UserError

FINAL = {
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 20,
    "cached_prompt_tokens": 12,
    "eval_count": 30,
    "eval_duration": 500_000_000,
    "draft": {"proposed": 10, "accepted": 7},
}


def text(content: str, **more: Any) -> dict[str, Any]:
    """One chunk of a reply."""
    return {"message": {"role": "assistant", "content": content, **more}, "done": False}


@dataclass
class Script:
    """What the daemon will do; among the chunks an exception is raised, an event waited for."""

    replies: list[list[Any]] = field(default_factory=list)
    """One list for each request, taken from the front; when they run out, a short answer."""
    connect_error: UserError | None = None
    load_error: UserError | None = None
    tags: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    context_length: int = 2048
    chunk_s: float = 0.0
    may_load: threading.Event = field(default_factory=threading.Event)
    """Loading waits for this."""
    is_up: bool = True
    num_connections: int = 0
    num_closed_midway: int = 0

    def answers(self, *parts: Any, **final: Any) -> None:
        """Queue a reply: texts, whole chunks or exceptions, then the final chunk."""
        chunks = [text(part) if isinstance(part, str) else part for part in parts]
        self.replies.append([*chunks, FINAL | final])

    def talks_on(self) -> None:
        """Queue 500 words, 20 ms apart."""
        self.answers(*["word "] * 500)
        self.chunk_s = 0.02


class FakeClient:
    """Stands where `DaemonClient` does; `host` carries the script."""

    def __init__(self, host: Any, port: int) -> None:
        self.host, self.port = host, port
        self._script: Script = host
        self._is_closed = threading.Event()
        self._is_streaming = False

    def chat(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self._script.requests.append(body)
        chunks = self._script.replies.pop(0) if self._script.replies else [text("Fine."), FINAL]
        self._is_streaming = True
        for chunk in chunks:
            if self._script.chunk_s:
                self._is_closed.wait(self._script.chunk_s)
            if self._is_closed.is_set():
                return
            if isinstance(chunk, threading.Event):
                chunk.wait(30)
                continue
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
        self._is_streaming = False

    def load(self, model: str) -> None:
        self._script.may_load.wait(5)
        if self._script.load_error:
            raise self._script.load_error
        self._script.loads.append(model)

    def is_up(self) -> bool:
        return self._script.is_up

    def tags(self) -> list[dict[str, Any]]:
        return self._script.tags

    def ps(self) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{name}:latest",
                "context_length": self._script.context_length,
                "details": {"quantization_level": "Q8_0"},
            }
            for name in self._script.loads[-1:]
        ]

    def close(self) -> None:
        self._is_closed.set()
        if self._is_streaming:
            self._script.num_closed_midway += 1
            self._is_streaming = False


@pytest.fixture
def script() -> Script:
    """The daemon's part; models load at once."""
    made = Script()
    made.may_load.set()
    return made


@pytest.fixture
def history() -> Iterator[History]:
    """An empty history in memory."""
    opened = History(None)
    yield opened
    opened.close()


@pytest.fixture
def make_app(script: Script, history: History) -> Callable[..., ChatApp]:
    """Builds the app as `run_chat` does, in front of the canned daemon."""

    @contextmanager
    def connect(_model: str) -> Iterator[FakeClient]:
        if script.connect_error is not None:
            raise script.connect_error
        script.num_connections += 1
        yield FakeClient(script, 0)

    def make(model: str | None = None) -> ChatApp:
        return ChatApp(model, history, connect)  # type: ignore[arg-type]

    return make


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """Lets the app run until a condition holds."""

    async def wait(pilot: Any, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "this never came about"
            await pilot.pause(0.01)
        await pilot.pause()

    return wait

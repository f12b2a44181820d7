"""A daemon on a real socket, with workers that need no model."""

import asyncio
import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import uvicorn

from app.client import DaemonClient
from app.daemon.application import make_application
from app.daemon.ollama.catalog import Catalog
from app.daemon.serve import listen
from app.daemon.state import State
from app.daemon.workers.model_pool import ModelPool, make_limits
from app.settings import Settings
from models.store.library import Library

FAKE_WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


@dataclass
class Reply:
    """A whole HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def sse(self) -> list[Any]:
        """The `data:` of each event."""
        events = [part for part in self.body.decode().split("\n\n") if part]
        data = [line[6:] for event in events for line in event.split("\n") if line[:6] == "data: "]
        return [text if text == "[DONE]" else json.loads(text) for text in data]


@dataclass
class Daemon:
    """A running daemon and how tests talk to it."""

    state: State
    port: int
    log: Path
    loop: asyncio.AbstractEventLoop
    clients: list[DaemonClient] = field(default_factory=list)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        reply = Reply(response.status, response.headers, response.read())
        connection.close()
        return reply

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.call("POST", path, body, headers)

    def get(self, path: str) -> Reply:
        return self.call("GET", path)

    def client(self) -> DaemonClient:
        self.clients.append(DaemonClient("127.0.0.1", self.port))
        return self.clients[-1]

    def open_stream(self, path: str, body: Any) -> socket.socket:
        """A request whose answer the test reads, or does not."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        stream.sendall(head.encode() + data)
        return stream

    def worker_log(self) -> list[str]:
        """What the workers were told so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def worker_pids(self) -> list[int]:
        processes = [worker.process for worker in self.state.pool.workers]
        return [process.pid for process in processes if process is not None]


def write_model(path: Path, template: str) -> Path:
    """A GGUF file that can be described, not run."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose template can do tools and thinking."""
    path = tmp_path_factory.mktemp("models") / "able.gguf"
    return write_model(path, "{{ tools }}<think>{{ messages }}")


@pytest.fixture(scope="session")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can only chat."""
    return write_model(tmp_path_factory.mktemp("models") / "plain.gguf", "{{ messages }}")


@contextmanager
def run_daemon(home: Path, model_file: Path, **changes: Any) -> Iterator[Daemon]:
    """A daemon whose model `pocket` is `model_file`; settings may be given."""
    settings = replace(Settings(home=home), **changes)
    library = Library(home / "models", bundled=model_file)
    pool = ModelPool(make_limits(settings), settings, str(library.root), FAKE_WORKER)
    state = State(settings, Catalog(library), pool)
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        make_application(state, host="127.0.0.1"),
        http="h11",
        ws="none",
        log_config=None,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve(sockets=[listener]))
    )
    thread.start()
    daemon = Daemon(state, listener.getsockname()[1], home / "worker.log", loop)
    yield daemon
    for client in daemon.clients:
        client.close()
    server.should_exit = True
    thread.join()
    loop.close()


@pytest.fixture
def start_daemon(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons with settings of their own, whose workers keep a log."""
    monkeypatch.setenv("FAKE_WORKER_LOG", str(tmp_path / "worker.log"))
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(run_daemon(tmp_path, model_file, **changes))


@pytest.fixture
def daemon(start_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon with ordinary settings."""
    return start_daemon()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Iterator[Daemon]:
    """One for all tests of a module, for those that leave nothing behind."""
    with run_daemon(tmp_path_factory.mktemp("home"), model_file) as daemon:
        yield daemon


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is true, and fails when it never is."""

    def wait(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        done = threading.Event()
        for _ in range(int(timeout_s / 0.01)):
            if condition():
                return
            done.wait(0.01)
        raise AssertionError("it never happened")

    return wait

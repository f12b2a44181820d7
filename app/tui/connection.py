"""The way to the daemon: it connects, loads models and asks for replies on threads of its own.

What happens is told to one Textual message target; nothing here waits on the screen's thread.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from app.tui.model_state import ModelChoice, parse_choices, same_model
from app.tui.reply_stream import ReplyStream
from models.errors import UserError

if TYPE_CHECKING:
    from app.client import DaemonClient

Connect = Callable[[str], AbstractContextManager["DaemonClient"]]
"""Connects to a daemon, or starts one that loads the named model at once."""


class Connection:
    """Each stream has a client, so a socket, of its own: closing one stops just that one.

    A daemon that has gone is looked for, or started, again by whoever needs it next.
    """

    @dataclass
    class ModelReady(Message):
        """The model is loaded; `context_length` in tokens where the daemon tells it."""

        name: str
        quantization: str
        context_length: int | None

    @dataclass
    class LoadFailed(Message):
        """The model is not there, or not even the daemon."""

        name: str
        error: UserError
        is_daemon_up: bool

    @dataclass
    class ModelsListed(Message):
        """The library's models; `error` instead when they cannot be had."""

        choices: list[ModelChoice]
        error: UserError | None = None

    @dataclass
    class DaemonLost(Message):
        """The daemon no longer answers."""

    @dataclass
    class DaemonReached(Message):
        """There is a daemon; loading begins."""

    def __init__(self, connect: Connect, post: Callable[[Message], object]) -> None:
        self._connect = connect
        self._post = post
        self._stack = ExitStack()
        self._client: DaemonClient | None = None
        self._connecting = threading.Lock()
        self._borrowed: set[DaemonClient] = set()
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        """Whether a daemon has answered."""
        return self._client is not None

    def load(self, name: str) -> None:
        """Have the daemon load the model; `ModelReady` or `LoadFailed` follows."""
        self._run(lambda: self._load(name))

    def list_models(self) -> None:
        """Ask for the library; `ModelsListed` follows."""
        self._run(self._list)

    def reply(self, body: dict[str, Any]) -> ReplyStream:
        """Ask for a reply; it waits for the connection where that is still being made."""
        stream = _Stream(self, body)
        return ReplyStream(stream.chunks, stream.cancel)

    def stop(self) -> None:
        """Tell nothing more and stop every stream."""
        self._is_closed = True
        for client in list(self._borrowed):
            client.close()

    def close(self) -> None:
        """Stop, and end the private daemon, if there is one; waits for it."""
        self.stop()
        self._stack.close()

    def borrow(self, model: str) -> "DaemonClient":
        """A client for one use, to be given back to `release`. Blocks until there is a daemon.

        Raises:
            UserError: there is none, and none can be started.
        """
        with self._connecting:
            if self._client is None:
                self._stack.close()
                self._client = self._stack.enter_context(self._connect(model))
                self._tell(self.DaemonReached())
            client = type(self._client)(self._client.host, self._client.port)
        self._borrowed.add(client)
        return client

    def release(self, client: "DaemonClient") -> None:
        """The use is over."""
        self._borrowed.discard(client)
        client.close()

    def is_up(self) -> bool:
        """Whether the daemon still answers; if not, the next use looks for another. Blocks."""
        with self._connecting:
            if self._client is not None and not self._is_closed and not self._client.is_up():
                self._client = None
                self._tell(self.DaemonLost())
            return self._client is not None

    def _run(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="connection", daemon=True).start()

    def _load(self, name: str) -> None:
        try:
            client = self.borrow(name)
            try:
                client.load(name)
                loaded: list[dict[str, Any]] = client.ps()
            finally:
                self.release(client)
        except UserError as error:
            self._tell(self.LoadFailed(name, error, self.is_up()))
        else:
            self._tell(self._ready(name, loaded))

    def _ready(self, name: str, loaded: list[dict[str, Any]]) -> Message:
        entry = next((e for e in loaded if same_model(e["name"], name)), {})
        details: Mapping[str, Any] = entry.get("details") or {}
        quantization = str(details.get("quantization_level") or "")
        return self.ModelReady(name, quantization, entry.get("context_length"))

    def _list(self) -> None:
        try:
            client = self.borrow("")
            try:
                choices = parse_choices(client.tags(), client.ps())
            finally:
                self.release(client)
        except UserError as error:
            self._tell(self.ModelsListed([], error))
        else:
            self._tell(self.ModelsListed(choices))

    def _tell(self, message: Message) -> None:
        if not self._is_closed:
            self._post(message)


class _Stream:
    """One reply's socket. `cancel` may come before it is open."""

    def __init__(self, connection: Connection, body: dict[str, Any]) -> None:
        self._connection = connection
        self._body = body
        self._client: DaemonClient | None = None
        self._lock = threading.Lock()
        self._is_cancelled = False

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The chunks of the reply, from opening its socket to closing it."""
        client = self._connection.borrow(self._body["model"])
        try:
            with self._lock:
                self._client = client
                if self._is_cancelled:
                    return
            yield from client.chat(self._body)
        except UserError:
            if not self._is_cancelled:
                self._connection.is_up()
            raise
        finally:
            self._connection.release(client)

    def cancel(self) -> None:
        """Close the socket, or keep it from opening."""
        with self._lock:
            self._is_cancelled = True
            if self._client is not None:
                self._client.close()

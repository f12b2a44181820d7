"""Talks to a daemon with nothing but the standard library: it must be there in milliseconds."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from models import errors
from models.errors import NotFound, UserError

Json = dict[str, Any]

CONNECT_TIMEOUT_S = 5.0
"""How long a daemon may take to let a client in."""

_ERRORS: dict[int, type[UserError]] = {
    400: errors.InvalidInput,
    401: errors.AccessDenied,
    403: errors.AccessDenied,
    404: errors.NotFound,
    413: errors.InvalidInput,
    503: errors.Busy,
}


class DaemonClient:
    """One daemon. Streams are iterators; leaving one early, or `close`, stops the work behind it.

    Not for several threads at once, except `close`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout_s: float | None = None,
        api_key: str = "",
        chat_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.port = port
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._chat_options = dict(chat_options or {})
        self._streams: set[http.client.HTTPConnection] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def is_up(self) -> bool:
        """Whether a daemon of ours answers; another server of Ollama's API is none."""
        try:
            return "localllm" in self.version()
        except UserError:
            return False

    def version(self) -> Json:
        """`version` of the API, and `localllm` where it is one of ours."""
        return self._call("GET", "/api/version")

    def tags(self) -> list[Json]:
        """The models of its library."""
        return list(self._call("GET", "/api/tags")["models"])

    def ps(self) -> list[Json]:
        """The models in its memory."""
        return list(self._call("GET", "/api/ps")["models"])

    def show(self, model: str) -> Json:
        """All about one model."""
        return self._call("POST", "/api/show", {"model": model})

    def chat(self, body: Mapping[str, Any]) -> Iterator[Json]:
        """Chunks of `/api/chat`."""
        if self._chat_options:
            body = {**body, "options": {**body.get("options", {}), **self._chat_options}}
        return self._stream("/api/chat", body)

    def generate(self, body: Mapping[str, Any]) -> Iterator[Json]:
        """Chunks of `/api/generate`."""
        return self._stream("/api/generate", body)

    def pull(self, model: str) -> Iterator[Json]:
        """Progress of a download into its library."""
        return self._stream("/api/pull", {"model": model})

    def top(self) -> Json:
        """What happens at this moment."""
        return self._call("GET", "/api/top")

    def why(self, request_id: str) -> Json:
        """What a request's prompt shares with an earlier one."""
        return self._call("GET", f"/api/why/{quote(request_id, safe='')}")

    def load(self, model: str, *, adapter: str | None = None) -> None:
        """Have a model in memory."""
        body = {"model": model, "stream": False} | ({"adapter": adapter} if adapter else {})
        self._call("POST", "/api/generate", body)

    def unload(self, model: str) -> None:
        """Have a model out of memory, as soon as nobody uses it."""
        self._call("POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})

    def close(self) -> None:
        """Break off all streams; the daemon stops their work at once."""
        while self._streams:
            _shut_down(self._streams.pop())

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        connection = self._connect()
        try:
            response = self._request(connection, method, path, body)
            answer: Json = json.loads(self._read(response) or b"{}")
        finally:
            connection.close()
        return answer

    def _stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Json]:
        connection = self._connect()
        self._streams.add(connection)
        try:
            response = self._request(connection, "POST", path, {"stream": True, **body})
            chunk: Json = {}
            while not _is_last(chunk):
                line = self._read_line(response)
                if connection not in self._streams:
                    return
                if not line:
                    raise self._lost(EOFError("the answer is not complete"))
                chunk = json.loads(line)
                if "error" in chunk:
                    raise error_of(chunk, chunk.get("status", 500))
                yield chunk
        finally:
            self._streams.discard(connection)
            _shut_down(connection)
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        timeout_s = CONNECT_TIMEOUT_S if self._timeout_s is None else self._timeout_s
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise NotFound(
                f"no daemon answers at {self.host}:{self.port}: {error.strerror or error}",
                hint="start one with `localllm serve`",
            ) from error
        connection.sock.settimeout(self._timeout_s)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _request(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
    ) -> http.client.HTTPResponse:
        """The response once its status is there and good."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        if response.status >= 300:
            text = self._read(response).decode("utf-8", "replace")
            raise error_of(_parse_error(text), response.status)
        return response

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error

    def _read_line(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.readline()
        except (OSError, ValueError, http.client.HTTPException):
            return b""

    def _lost(self, error: Exception) -> UserError:
        return UserError(
            f"the daemon at {self.host}:{self.port} broke off: {error or type(error).__name__}",
            hint="its log may say why; `localllm ps` shows whether it is still there",
        )


def _is_last(chunk: Json) -> bool:
    return bool(chunk.get("done")) or chunk.get("status") == "success"


def _shut_down(connection: http.client.HTTPConnection) -> None:
    """End both directions, which also ends a read in another thread; that thread closes it."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _parse_error(text: str) -> Json:
    try:
        body = json.loads(text)
    except ValueError:
        return {"error": text.strip()}
    return body if isinstance(body, dict) and "error" in body else {"error": text.strip()}


def error_of(body: Mapping[str, Any], status: int) -> UserError:
    message = str(body["error"]) or f"the daemon answered with status {status}"
    kind = getattr(errors, str(body.get("kind")), None) or _ERRORS.get(status, UserError)
    assert issubclass(kind, UserError)
    return kind(message, hint=body.get("hint"))

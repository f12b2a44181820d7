"""A proxy on loopback: forwards plain requests, refuses tunnels, and records what was asked."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NOT_FORWARDED = frozenset({"connection", "proxy-connection", "host", "transfer-encoding"})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """The client follows by itself."""


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_CONNECT(self) -> None:
        self.asked.append(f"CONNECT {self.path}")
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_FORWARDED}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        try:
            answer = opener.open(urllib.request.Request(self.path, headers=headers))
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            body = answer.read()
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                if key.lower() not in _NOT_FORWARDED | {"content-length"}:
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read the record instead."""


@contextmanager
def proxying() -> Iterator[tuple[str, list[str]]]:
    """The proxy's address, and what it is asked."""
    asked: list[str] = []
    forward = type("Forward", (_Forward,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), forward)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()

"""A stand-in for the Hugging Face Hub on loopback, with faults to order.

Speaks what the real client speaks: model info, paged trees, resolve with redirects of large files
to a second origin (the "CDN"), ranges, etags, LFS metadata, gated and private repositories,
search. Not imported by the product.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS_MIN_BYTES = 1000
TOKEN = "hf_good"


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Repo:
    """Files by revision; `access` is "public", "private" or "gated"."""

    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    main: str = ""
    access: str = "public"
    announced_sha256: dict[str, str] = field(default_factory=dict)
    num_downloads: int = 7

    @property
    def tags(self) -> list[str]:
        names = self.revisions[self.main]
        return [
            tag
            for tag, ending in (("gguf", ".gguf"), ("mlx", ".safetensors"))
            if any(name.endswith(ending) for name in names)
        ]

    def commit(self, files: dict[str, bytes]) -> str:
        text = json.dumps({name: sha256(content) for name, content in sorted(files.items())})
        self.main = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.revisions[self.main] = dict(files)
        return self.main


@dataclass
class Fault:
    """What goes wrong for the next `times` requests whose path contains `where`.

    kind: "status" (answer `status` with `headers`), "drop" (close the connection after
    `after_bytes` of the body), "hang" (send `after_bytes`, then nothing until `released`),
    "flip" (invert the byte at `after_bytes`), "no-range" (ignore the Range header),
    "wrong-range" (answer with another range), "body" (answer 200 with `body`).
    """

    where: str
    kind: str
    times: int = 1
    status: int = 503
    after_bytes: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    released: threading.Event = field(default_factory=threading.Event)


class FakeHub:
    """Repositories, faults to come, and a record of what was asked and served."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.served_bytes: Counter[str] = Counter()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.page_size = 3
        self.bytes_per_s = 0
        self.endpoint = ""
        self.cdn = ""
        self._lock = threading.Lock()

    def add(self, name: str, files: dict[str, bytes], *, access: str = "public") -> Repo:
        repo = self.repos.setdefault(name, Repo(access=access))
        repo.commit(files)
        return repo

    def take_fault(self, path: str, *kinds: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.where in path and fault.kind in kinds and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def count(self, path: str, num_bytes: int) -> None:
        with self._lock:
            self.served_bytes[path] += num_bytes

    def record(self, method: str, path: str, headers: dict[str, str]) -> None:
        with self._lock:
            self.requests.append((method, path, headers))


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read the record instead."""

    def answer(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.record(self.command, path, headers)
        fault = self.hub.take_fault(path, "status")
        if fault is not None:
            self.send(fault.status, b'{"error": "ordered"}', fault.headers)
        elif (fault := self.hub.take_fault(path, "body")) is not None:
            self.send(200, fault.body)
        elif path == "/api/models":
            self.search(query)
        elif path.startswith("/api/models/"):
            self.api(path.removeprefix("/api/models/"), query)
        elif path.startswith("/cdn/"):
            self.cdn(path)
        elif "/resolve/" in path:
            self.resolve(path)
        else:
            self.send(404, b"")

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def allowed(self, name: str, *, contents: bool = False) -> Repo | None:
        """The repository, or None once an error has been sent. Gates stand before contents."""
        repo = self.hub.repos.get(name)
        authorization = self.headers.get("Authorization", "")
        if repo is None or (repo.access == "private" and authorization != f"Bearer {TOKEN}"):
            status = 404 if authorization else 401
            self.send(status, b"{}", {"X-Error-Code": "RepoNotFound"})
            return None
        if contents and repo.access == "gated" and authorization != f"Bearer {TOKEN}":
            self.send(403 if authorization else 401, b"{}", {"X-Error-Code": "GatedRepo"})
            return None
        return repo

    def revision(self, repo: Repo, revision: str) -> str | None:
        commit = repo.main if revision == "main" else revision
        if commit not in repo.revisions:
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit

    def api(self, path: str, query: dict[str, list[str]]) -> None:
        org, model, *rest = path.split("/", 3)
        name = f"{org}/{model}"
        written = next((known for known in self.hub.repos if known.lower() == name.lower()), name)
        if written != name:
            location = f"{self.hub.endpoint}/api/models/{'/'.join([written, *rest])}"
            self.send(307, b"", {"Location": location})
            return
        repo = self.allowed(name)
        if repo is None:
            return
        kind, revision = rest if len(rest) == 2 else ("revision", "main")
        commit = self.revision(repo, revision)
        if commit is None:
            return
        if kind == "revision":
            info = {"id": name, "sha": commit, "siblings": [], "tags": []}
            self.send(200, json.dumps(info).encode())
            return
        assert kind == "tree"
        self.tree(repo, commit, path, query)

    def tree(self, repo: Repo, commit: str, path: str, query: dict[str, list[str]]) -> None:
        entries = [entry(name, content, repo) for name, content in repo.revisions[commit].items()]
        folders = {name.rpartition("/")[0] for name in repo.revisions[commit]} - {""}
        entries += [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
                    for name in sorted(folders)]  # fmt: skip
        start = int(query.get("cursor", ["0"])[0])
        stop = start + self.hub.page_size
        headers = {}
        if stop < len(entries):
            url = f"{self.hub.endpoint}/api/models/{path}?recursive=true&cursor={stop}"
            headers["Link"] = f'<{url}>; rel="next"'
        self.send(200, json.dumps(entries[start:stop]).encode(), headers)

    def search(self, query: dict[str, list[str]]) -> None:
        words = query.get("search", [""])[0].lower()
        wanted = query.get("filter", [""])[0]
        found = [
            {
                "id": name,
                "sha": repo.main,
                "downloads": repo.num_downloads,
                "tags": repo.tags,
                "siblings": [],
            }
            for name, repo in self.hub.repos.items()
            if words in name.lower() and repo.access != "private" and wanted in repo.tags
        ]
        limit = int(query.get("limit", ["1000"])[0])
        self.send(200, json.dumps(found[:limit]).encode())

    def resolve(self, path: str) -> None:
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repo = self.allowed(name, contents=True)
        commit = None if repo is None else self.revision(repo, revision)
        if repo is None or commit is None:
            return
        content = repo.revisions[commit].get(file)
        if content is None:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif len(content) >= LFS_MIN_BYTES:
            headers = {
                "Location": f"{self.hub.cdn}/cdn/{name}/{commit}/{file}",
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{sha256(content)}"',
                "X-Linked-Size": str(len(content)),
                "ETag": '"of-the-pointer"',
            }
            self.send(302, b"", headers)
        else:
            headers = {"X-Repo-Commit": commit, "ETag": f'"{git_oid(content)}"'}
            self.body(path, content, headers)

    def cdn(self, path: str) -> None:
        org, model, commit, file = path.removeprefix("/cdn/").split("/", 3)
        content = self.hub.repos[f"{org}/{model}"].revisions[commit][file]
        self.body(path, content, {"ETag": f'"{sha256(content)}"', "Accept-Ranges": "bytes"})

    def body(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        start, stop, status = 0, len(content), 200
        wanted = self.headers.get("Range")
        if wanted and not self.hub.take_fault(path, "no-range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop, status = int(first), min(int(last or stop) + 1, stop), 206
            if start >= len(content):
                self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            if self.hub.take_fault(path, "wrong-range"):
                start += 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        fault = self.hub.take_fault(path, "drop", "hang", "flip")
        sent = content[start:stop]
        if fault is not None and fault.kind == "flip":
            at = fault.after_bytes
            sent = sent[:at] + bytes([sent[at] ^ 0xFF]) + sent[at + 1 :]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = fault is not None and fault.kind in ("drop", "hang")
        self.stream(path, sent[: fault.after_bytes] if cut and fault else sent)
        if cut and fault:
            if fault.kind == "hang":
                fault.released.wait(30)
            self.close_connection = True

    def stream(self, path: str, content: bytes) -> None:
        step = 16_384
        for at in range(0, len(content), step):
            piece = content[at : at + step]
            try:
                self.wfile.write(piece)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
                return
            self.hub.count(path, len(piece))
            if self.hub.bytes_per_s:
                threading.Event().wait(len(piece) / self.hub.bytes_per_s)


def entry(name: str, content: bytes, repo: Repo) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": name, "size": len(content)}
    if len(content) < LFS_MIN_BYTES:
        return found | {"oid": git_oid(content)}
    oid = repo.announced_sha256.get(name, sha256(content))
    lfs = {"oid": oid, "size": len(content), "pointerSize": 134}
    return found | {"oid": git_oid(b"pointer to " + oid.encode()), "lfs": lfs, "xetHash": oid}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed on purpose."""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Answer for `hub` on two origins until the block ends."""
    answer = type("Answer", (_Answer,), {"hub": hub})
    servers = [_Server(("127.0.0.1", 0), answer) for _ in range(2)]
    hub.endpoint, hub.cdn = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    _run(servers)
    try:
        yield hub
    finally:
        for fault in hub.faults:
            fault.released.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def _run(servers: list[_Server]) -> None:
    serve: Callable[[BaseServer], None] = lambda server: server.serve_forever(poll_interval=0.02)  # noqa: E731
    for server in servers:
        threading.Thread(target=serve, args=(server,), daemon=True).start()

"""Keys and their scopes, foreign hosts and pages, limits, and what is never written to a log."""

import http.client
import logging
import socket
from dataclasses import replace

import pytest

from app.daemon import serve
from app.keys import add_key, remove_key
from app.locations import keys_file
from app.settings import Settings
from models.errors import InvalidInput

CHAT = {"model": "pocket", "messages": [{"role": "user", "content": "say 2"}], "stream": False}


@pytest.fixture
def keys(daemon):
    """A key for asking and one for managing."""
    path = keys_file(daemon.state.settings.home)
    return add_key(path, "asking", "infer"), add_key(path, "managing", "manage")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_without_keys_any_header_is_accepted_and_ignored(daemon) -> None:
    assert daemon.call("POST", "/api/chat", CHAT, bearer("ollama")).status == 200


def test_with_keys_a_request_needs_one(daemon, keys) -> None:
    for headers in ({}, bearer("llm-wrong"), {"x-api-key": ""}, {"Authorization": "Basic abc"}):
        reply = daemon.call("POST", "/api/chat", CHAT, headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
    for headers in (bearer(keys[0]), {"x-api-key": keys[0]}, bearer(keys[1])):
        assert daemon.call("POST", "/api/chat", CHAT, headers).status == 200


@pytest.mark.usefixtures("keys")
def test_each_api_is_refused_in_its_own_shape(daemon) -> None:
    assert daemon.get("/api/tags").json["error"].startswith("unauthorized")
    assert daemon.get("/v1/models").json["error"]["code"] == "invalid_api_key"
    refused = daemon.post("/v1/messages", {}).json
    assert refused["error"]["type"] == "authentication_error"


def test_a_key_for_asking_may_not_manage(daemon, keys) -> None:
    body = {"source": "pocket", "destination": "copy"}
    reply = daemon.call("POST", "/api/copy", body, bearer(keys[0]))
    assert reply.status == 403
    assert "has the scope infer" in reply.json["error"]
    for method, path in (
        ("POST", "/api/pull"),
        ("POST", "/api/pull/"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/create"),
        ("POST", f"/api/blobs/sha256:{'0' * 64}"),
    ):
        assert daemon.call(method, path, {}, bearer(keys[0])).status == 403
    assert daemon.call("POST", "/api/copy", body, bearer(keys[1])).status == 200


@pytest.mark.usefixtures("keys")
def test_whoever_only_asks_whether_we_are_here_needs_no_key(daemon) -> None:
    for path in ("/", "/api/version", "/health"):
        assert daemon.get(path).status == 200
    for path in ("/health?deep=1", "/metrics", "/api/ps", "/api/tags", "/openapi.json"):
        assert daemon.get(path).status == 401


def test_a_key_that_is_removed_is_refused_at_once(daemon, keys) -> None:
    assert daemon.call("GET", "/api/tags", None, bearer(keys[0])).status == 200
    remove_key(keys_file(daemon.state.settings.home), "asking")
    assert daemon.call("GET", "/api/tags", None, bearer(keys[0])).status == 401


def test_a_damaged_file_of_keys_lets_nobody_in(daemon, keys) -> None:
    keys_file(daemon.state.settings.home).write_text("{")
    assert daemon.call("GET", "/api/tags", None, bearer(keys[0])).status == 500


@pytest.mark.usefixtures("keys")
def test_a_page_of_another_site_is_refused_and_a_local_one_is_not(daemon) -> None:
    foreign, local = {"Origin": "https://evil.example"}, {"Origin": "http://localhost:3000"}
    assert daemon.call("GET", "/api/version", None, foreign).status == 403
    assert daemon.call("OPTIONS", "/api/chat", None, foreign).status == 403
    preflight = daemon.call("OPTIONS", "/api/chat", None, local)
    assert preflight.status == 204
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    refused = daemon.call("GET", "/api/tags", None, local)
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_a_name_that_a_strangers_dns_serves_is_refused(daemon) -> None:
    reply = daemon.call("GET", "/api/tags", None, {"Host": "rebind.example"})
    assert (reply.status, reply.body) == (403, b"")


def test_other_addresses_demand_a_key_or_a_word(tmp_path, monkeypatch) -> None:
    settings = replace(Settings(home=tmp_path), address=("0.0.0.0", 0))
    with pytest.raises(InvalidInput, match="no key is asked"):
        serve.serve(settings)
    ran = []
    monkeypatch.setattr(serve, "_run", lambda *args, **more: ran.append((args, more)))
    monkeypatch.setattr(serve.asyncio, "run", lambda _: None)
    serve.serve(settings, allow_remote=True)
    add_key(keys_file(tmp_path), "phone", "infer")
    serve.serve(settings)
    assert len(ran) == 2
    for args, _ in ran:
        args[1].close()


def test_the_log_has_neither_prompts_nor_keys(daemon, keys, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    secret_words = {**CHAT, "messages": [{"role": "user", "content": "say 1 xyzzy"}]}
    assert daemon.call("POST", "/api/chat", secret_words, bearer(keys[0])).status == 200
    assert daemon.call("POST", "/api/chat", secret_words, bearer("llm-nobody")).status == 401
    assert daemon.call("POST", "/api/chat", b'{"xyzzy', bearer(keys[0])).status == 400
    for hidden in ("xyzzy", keys[0], "llm-nobody"):
        assert hidden not in caplog.text


def test_headers_without_end_are_refused(daemon) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (1 << 20))
        assert b" 400 " in stream.recv(65536).split(b"\r\n")[0]


def test_a_body_that_never_ends_is_given_up(daemon, monkeypatch) -> None:
    monkeypatch.setattr("app.daemon.state.BODY_TIMEOUT_S", 0.1)
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)
    connection.putrequest("POST", "/api/chat")
    connection.putheader("Content-Length", "100")
    connection.endheaders()
    connection.send(b'{"model"')
    assert connection.getresponse().status == 408
    connection.close()

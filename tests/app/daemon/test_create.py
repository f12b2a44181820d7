"""`/api/create` and `/api/blobs`."""

import hashlib
from pathlib import Path

import pytest


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.compat(
    "POST /api/create", "`from`, `system`, `parameters`, `messages`, `template`, `license`"
)
def test_a_model_made_from_another_has_its_own_settings(daemon) -> None:
    body = {
        "model": "mine",
        "from": "pocket",
        "system": "Be kind.",
        "parameters": {"temperature": 0.3, "stop": ["END"]},
        "license": ["one", "two"],
    }
    reply = daemon.post("/api/create", body)
    assert reply.status == 200
    assert reply.lines[-1] == {"status": "success"}
    assert {"status": "writing manifest"} in reply.lines
    shown = daemon.post("/api/show", {"model": "mine"}).json
    assert shown["system"] == "Be kind."
    assert shown["license"] == "one\ntwo"
    assert shown["parameters"].split() == ["temperature", "0.3", "stop", '"END"']
    answer = {"model": "mine", "prompt": "say 1", "stream": False}
    assert daemon.post("/api/generate", answer).json["response"] == "w0 "


@pytest.mark.compat("POST /api/blobs/{digest}", "uploads")
@pytest.mark.compat("POST /api/create", "`files`")
def test_a_file_is_uploaded_and_becomes_a_model(daemon, plain_file: Path) -> None:
    content = plain_file.read_bytes()
    path = f"/api/blobs/{digest_of(content)}"
    assert daemon.call("HEAD", path).status == 404
    assert daemon.call("POST", path, content).status == 201
    assert daemon.call("HEAD", path).status == 200
    assert daemon.call("POST", path.replace("sha256:", "sha256-"), content).status == 200
    body = {"model": "up", "files": {"m.gguf": digest_of(content)}, "stream": False}
    assert daemon.post("/api/create", body).json == {"status": "success"}
    assert daemon.post("/api/show", {"model": "up"}).json["template"] == "{{ messages }}"


def test_content_that_is_not_what_its_name_says_is_refused(daemon) -> None:
    wanted, got = digest_of(b"right"), digest_of(b"wrong")
    reply = daemon.call("POST", f"/api/blobs/{wanted}", b"wrong")
    assert reply.status == 400
    assert reply.json["error"] == f'digest mismatch, expected "{wanted}", got "{got}"'
    assert daemon.call("HEAD", f"/api/blobs/{wanted}").status == 404


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "neither 'from' or 'files' was specified"),
        ({"model": "a b"}, "invalid model name"),
        ({"files": {"../m.gguf": digest_of(b"x")}}, "file path must be relative"),
        ({"files": {"m.txt": digest_of(b"x")}}, "no files provided to convert"),
        ({"from": "pocket", "quantize": "q4_K_M"}, "quantize is not supported"),
    ],
)
@pytest.mark.compat("POST /api/create", "`quantize`", refused="`localllm quantize` does it")
def test_what_cannot_be_made_is_refused(daemon, changes, text: str) -> None:
    reply = daemon.post("/api/create", {"model": "mine", "stream": False} | changes)
    assert (reply.status, reply.json["error"]) == (400, text)

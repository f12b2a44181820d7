"""Listings, details, copies, removal; who may call at all."""

import pytest


@pytest.mark.compat("GET /api/version", "version")
def test_the_root_and_the_version_answer_get_and_head(daemon) -> None:
    assert daemon.get("/").body == b"Ollama is running"
    assert daemon.call("HEAD", "/").status == 200
    version = daemon.get("/api/version").json
    assert version["version"].count(".") == 2
    assert version["localllm"]
    assert daemon.call("HEAD", "/api/tags").status == 200


@pytest.mark.compat("GET /api/tags", "the library")
def test_tags_list_the_library_with_what_clients_need(daemon) -> None:
    (model,) = daemon.get("/api/tags").json["models"]
    assert model["name"] == model["model"] == "pocket:latest"
    assert len(model["digest"]) == 64
    assert model["size"] > 0
    assert model["modified_at"].endswith("Z")
    assert model["details"]["format"] == "gguf"
    assert model["details"]["families"] == ["llama"]
    assert set(model["capabilities"]) == {"completion", "tools", "thinking"}


@pytest.mark.compat("POST /api/show", "details, template, metadata, `verbose`")
def test_show_gives_template_and_metadata(daemon) -> None:
    shown = daemon.post("/api/show", {"model": "pocket"}).json
    assert shown["template"] == "{{ tools }}<think>{{ messages }}"
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["model_info"]["llama.context_length"] == 4096
    assert shown["tensors"] == [{"name": "token_embd.weight", "type": "F32", "shape": [8, 32]}]
    assert "tools" in shown["capabilities"]
    assert shown["modelfile"].startswith("# Modelfile")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/api/show", {}, 400, "model is required"),
        ("POST", "/api/show", {"name": "nope"}, 404, "model 'nope' not found"),
        ("DELETE", "/api/delete", {"model": "nope"}, 404, "model 'nope' not found"),
        ("DELETE", "/api/delete", {"model": "a b"}, 400, 'name "a b" is invalid'),
        ("DELETE", "/api/delete", {}, 400, "model is required"),
        (
            "POST",
            "/api/copy",
            {"source": "nope", "destination": "x"},
            404,
            'model "nope" not found',
        ),
        (
            "POST",
            "/api/copy",
            {"source": "a b", "destination": "x"},
            400,
            'source "a b" is invalid',
        ),
        (
            "POST",
            "/api/copy",
            {"source": "pocket", "destination": "x y"},
            400,
            'destination "x y" is invalid',
        ),
    ],
)
def test_library_errors_are_in_the_words_clients_know(
    daemon, method: str, path: str, body: object, status: int, text: str
) -> None:
    reply = daemon.call(method, path, body)
    assert (reply.status, reply.json["error"]) == (status, text)


@pytest.mark.compat("POST /api/copy", "a second name")
@pytest.mark.compat("DELETE /api/delete", "removal")
def test_a_copy_can_be_used_and_deleted(daemon) -> None:
    copied = daemon.post("/api/copy", {"source": "pocket", "destination": "mine"})
    assert (copied.status, copied.body) == (200, b"")
    names = {model["name"] for model in daemon.get("/api/tags").json["models"]}
    assert names == {"pocket:latest", "mine:latest"}
    body = {"model": "MINE", "prompt": "say 1", "stream": False}
    assert daemon.post("/api/generate", body).json["response"] == "w0 "
    assert daemon.call("DELETE", "/api/delete", {"name": "mine"}).status == 200
    assert daemon.get("/api/ps").json["models"] == []
    assert daemon.post("/api/generate", body).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:11434"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "box.local"}, 200),
        ({"Host": "192.168.1.7:11434"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "8.8.8.8"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "tauri://localhost"}, 200),
        ({"Origin": "vscode-webview://abc"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_only_this_machine_and_local_pages_are_let_in(daemon, headers, status: int) -> None:
    assert daemon.call("GET", "/api/tags", None, headers).status == status


def test_a_preflight_is_answered_for_allowed_pages_only(start_daemon) -> None:
    daemon = start_daemon(origins=("https://*.mine.example",))
    for origin, status in (
        ("https://chat.mine.example", 204),
        ("https://evil.example", 403),
    ):
        reply = daemon.call("OPTIONS", "/api/chat", None, {"Origin": origin})
        assert reply.status == status
        allowed = reply.headers.get("access-control-allow-origin")
        assert allowed == (origin if status == 204 else None)
    reply = daemon.call("GET", "/api/tags", None, {"Origin": "https://a.mine.example"})
    assert reply.headers["access-control-allow-origin"] == "https://a.mine.example"


def test_the_openapi_document_can_be_made_without_a_warning(daemon) -> None:
    paths = daemon.get("/openapi.json").json["paths"]
    assert {"/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages"} <= set(paths)

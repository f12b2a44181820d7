"""Models made over HTTP with an adapter's uploaded files, or with a template of Ollama's kind."""

import hashlib

import pytest

CONFIG, WEIGHTS = b'{"num_layers": 1}', b"weights"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.compat("POST /api/create", "`adapters`")
def test_an_uploaded_adapter_is_kept_with_the_name(daemon) -> None:
    for content in (CONFIG, WEIGHTS):
        assert daemon.call("POST", f"/api/blobs/{digest_of(content)}", content).status == 201
    adapters = {
        "adapter_config.json": digest_of(CONFIG),
        "adapters.safetensors": digest_of(WEIGHTS),
    }
    body = {"model": "mine", "from": "pocket", "adapters": adapters, "stream": False}
    assert daemon.post("/api/create", body).json == {"status": "success"}
    adapter = daemon.state.catalog.find("mine").files.adapter
    assert (adapter / "adapters.safetensors").read_bytes() == WEIGHTS
    assert (adapter / "adapter_config.json").read_bytes() == CONFIG
    assert daemon.state.catalog.find("pocket").files.adapter is None


@pytest.mark.parametrize(
    ("adapters", "status", "text"),
    [
        ({"adapter.gguf": digest_of(b"x")}, 400, "adapter.gguf: not an adapter that can be used"),
        (
            {n: digest_of(b"no") for n in ("adapter_config.json", "adapters.safetensors")},
            404,
            "not found",
        ),
    ],
)
def test_files_that_are_no_adapter_here_are_refused(daemon, adapters, status, text) -> None:
    body = {"model": "mine", "from": "pocket", "adapters": adapters, "stream": False}
    reply = daemon.post("/api/create", body)
    assert reply.status == status
    assert text in reply.json["error"]
    assert daemon.post("/api/show", {"model": "mine"}).status == 404


def test_a_template_in_gos_language_is_said_to_be_unused(daemon) -> None:
    body = {"model": "mine", "from": "pocket", "template": "{{ .System }} {{ .Prompt }}"}
    statuses = [line["status"] for line in daemon.post("/api/create", body).lines]
    assert statuses[0] == "the template is in Go's language: it is kept and not used"
    assert statuses[-1] == "success"

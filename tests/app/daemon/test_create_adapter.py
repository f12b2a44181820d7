"""Models made over HTTP with an adapter's uploaded files, or with a template of Ollama's kind."""

import hashlib
from pathlib import Path

import pytest

from models.importing import import_model
from models.local_model import model_at
from models.name import ModelName
from tests.models.adapter_files import gguf_bytes, mlx_files, peft_files, write

CONFIG, WEIGHTS = mlx_files().values()


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


@pytest.mark.parametrize("files", [peft_files(), {"lora.gguf": gguf_bytes()}])
def test_adapters_of_other_programs_are_taken_too(daemon, files) -> None:
    for content in files.values():
        assert daemon.call("POST", f"/api/blobs/{digest_of(content)}", content).status == 201
    adapters = {name: digest_of(content) for name, content in files.items()}
    body = {"model": "mine", "from": "pocket", "adapters": adapters, "stream": False}
    assert daemon.post("/api/create", body).json == {"status": "success"}
    assert daemon.state.catalog.find("mine").files.adapter.exists()


@pytest.mark.parametrize(
    ("adapters", "status", "text"),
    [
        ({"adapter.txt": digest_of(b"x")}, 400, "adapter.txt: not one adapter"),
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


@pytest.mark.compat("POST /api/create", "`template` in Ollama's language, or in Jinja's")
def test_a_template_in_gos_language_is_used_or_refused_by_its_function(daemon) -> None:
    body = {"model": "mine", "from": "pocket", "template": "{{ .System }} {{ .Prompt }}"}
    assert daemon.post("/api/create", body).lines[-1] == {"status": "success"}
    assert daemon.post("/api/show", {"model": "mine"}).json["template"] == body["template"]
    unknown = {**body, "model": "other", "template": "a\n{{ shout .Prompt }}"}
    (line,) = daemon.post("/api/create", unknown).lines
    assert "line 2: the function 'shout' is not supported" in line["error"]


def test_an_adapter_of_the_library_is_named_in_a_request_and_listed_apart(daemon, tmp_path) -> None:
    library = daemon.state.catalog.library
    local = model_at(write(tmp_path / "lora", peft_files()))
    import_model(local, library, ModelName.parse("my/lora"), "copy")
    source = daemon.state.catalog.find("pocket", "my/lora")
    assert {path.name for path in Path(source.adapter).iterdir()} == set(peft_files())
    names = [model["name"] for model in daemon.get("/api/tags").json["models"]]
    assert names == ["pocket:latest"]
    ids = [model["id"] for model in daemon.get("/v1/models").json["data"]]
    assert ids == ["pocket:latest"]
    reply = daemon.post("/api/chat", {"model": "pocket", "adapter": "my/lorra", "messages": []})
    assert reply.status == 404
    assert "adapter 'my/lorra' not found" in reply.json["error"]
    reply = daemon.post("/api/show", {"model": "my/lora"})
    assert reply.status == 400
    assert "is a LoRA adapter for meta-llama/Llama-3.2-1B-Instruct" in reply.json["error"]

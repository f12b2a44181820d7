"""Adapters are found, pulled, taken in and kept with a model, whoever wrote them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from models.adapter_bases import find_bases, find_source, how_to_apply
from models.adapter_layers import read_adapter
from models.adapters import find_adapter
from models.create import NewModel, create_model
from models.errors import InvalidInput, InvalidModelFile, NotFound, Unsupported, UserError
from models.export import export_model
from models.hub.choose import choose_files
from models.hub.snapshot import Hub, HubFile
from models.hub.update import find_update
from models.importing import import_model
from models.local_model import model_at
from models.name import ModelName
from models.ollama_store import find_ollama_models
from models.resolve import resolve, resolve_adapter
from models.scan import find_cached_models
from models.store.library import Library
from models.store.manifest import Manifest, Source
from tests.models import gguf_writer as w
from tests.models.adapter_files import BASE, gguf_bytes, mlx_files, peft_files, write
from tests.models.hub import FakeHub
from tests.models.layouts import add_cached_repo, add_ollama_model
from tests.models.making import add_model, check_integrity
from tests.models.pulling import run

GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)
NAME = "hf.co/org/lora"
JUNK = {"README.md": b"hi", "optimizer.pt": bytes(5000), "tokenizer.json": b"{}"}
CHECKPOINTS = {"0000100_adapters.safetensors": b"old", "checkpoint-1/adapter_config.json": b"{}"}
KINDS = {
    "peft": peft_files(),
    "mlx": mlx_files(),
    "gguf": {"lora-f16.gguf": gguf_bytes()},
}


def choose(names: list[str], wanted: str | None = None) -> list[str]:
    files = [HubFile(name, 1, "0" * 40, None) for name in names]
    return [file.path for _, file in choose_files(files, "org/repo", wanted).files]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_adapters_files_are_pulled(hub: FakeHub, library: Library, kind: str) -> None:
    files = KINDS[kind]
    hub.add("org/lora", {**files, **JUNK, **CHECKPOINTS, "LICENSE": b"MIT"})
    events = run(hub, library, NAME)
    assert f"a LoRA adapter for {BASE}" in [event.status for event in events]
    fetched = {path.rpartition("/")[2] for path in hub.served_bytes}
    assert fetched == {*files, *(["LICENSE"] if kind != "gguf" else [])}
    manifest = library.get(ModelName.parse(NAME))
    assert (manifest.format, manifest.details.base_model) == ("adapter", BASE)
    assert manifest.details.quantization == "LoRA"
    adapter = read_adapter(find_adapter(resolve_adapter(NAME, library)))
    assert (adapter.files.kind, adapter.ranks, adapter.num_parameters) == (kind, "4", 384)
    assert adapter.layers[0].scale == {"peft": 2.0, "mlx": 20.0, "gguf": 2.0}[kind]
    check_integrity(library)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pulled_adapter_is_kept_with_a_model_by_its_name(
    hub: FakeHub, library: Library, tmp_path: Path, kind: str
) -> None:
    hub.add("org/lora", KINDS[kind])
    run(hub, library, NAME)
    add_model(library, "base", {"m.gguf": GGUF})
    new = NewModel(ModelName.parse("mine"), base="base", adapter=resolve_adapter(NAME, library))
    create_model(new, library)
    library.remove(ModelName.parse(NAME))
    adapter = resolve("mine", library).adapter
    assert adapter is not None
    assert read_adapter(find_adapter(adapter)).files.kind == kind
    export_model(library.get(ModelName.parse("mine")), library, tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text()
    place = tmp_path / "out" / text.partition("ADAPTER ")[2].splitlines()[0]
    assert read_adapter(find_adapter(place)).files.kind == kind


def test_an_adapter_alone_is_refused_where_a_model_is_wanted(
    hub: FakeHub, library: Library
) -> None:
    hub.add("org/lora", KINDS["peft"])
    run(hub, library, NAME)
    with pytest.raises(InvalidInput, match=f"a LoRA adapter for {BASE}, not a model") as caught:
        resolve(NAME, library)
    assert "localllm run llama3.2:1b --adapter hf.co/org/lora`" in str(caught.value.hint)
    add_model(library, "base", {"m.gguf": GGUF})
    with pytest.raises(InvalidInput, match="'base' is a model, not an adapter"):
        resolve_adapter("base", library)
    with pytest.raises(NotFound, match="adapter 'loora' not found"):
        resolve_adapter("loora", library)
    with pytest.raises(NotFound, match="no such adapter"):
        resolve_adapter("./loora", library)


def test_an_adapter_knows_of_newer_files_and_is_exported_as_it_was(
    hub: FakeHub, library: Library, tmp_path: Path
) -> None:
    hub.add("org/lora", KINDS["peft"])
    run(hub, library, NAME)
    manifest = library.get(ModelName.parse(NAME))
    client = Hub(endpoint=hub.endpoint)
    assert find_update(manifest, library, client).state == "current"
    hub.add("org/lora", peft_files(num_rows=33))
    assert find_update(manifest, library, client).state == "newer"
    export_model(manifest, library, tmp_path / "out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == KINDS["peft"]


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        ({"adapter_model.bin": b"x", "adapter_config.json": b""}, Unsupported, "adapter_model"),
        (peft_files(peft_type="IA3"), Unsupported, "of type IA3"),
        (mlx_files(kind="full"), Unsupported, "kind 'full'"),
        (peft_files() | {"adapter_config.json": b"["}, InvalidModelFile, "not readable as JSON"),
        (peft_files() | {"adapter_model.safetensors": b"x"}, InvalidModelFile, "not a safetensors"),
        (peft_files(lora_alpha="much"), InvalidModelFile, "no usable alpha"),
        ({"a.gguf": gguf_bytes(**{"adapter.type": "x"})}, Unsupported, "of type 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_gets_no_name(
    hub: FakeHub, library: Library, files: dict[str, bytes], kind: type[UserError], message: str
) -> None:
    hub.add("org/lora", files)
    with pytest.raises(kind, match=message):
        run(hub, library, NAME)
    assert library.list() == []


def test_a_model_beside_an_adapter_comes_first_unless_the_adapter_is_named() -> None:
    both = [*peft_files(), "config.json", "model.safetensors"]
    assert choose(both) == ["config.json", "model.safetensors"]
    assert choose(both, "adapter_model.safetensors") == [*peft_files()]
    assert choose([*peft_files(), "m-Q8_0.gguf"]) == ["m-Q8_0.gguf"]
    assert choose([*peft_files(), "config.json", "a/m.safetensors"]) == [*peft_files()]


def import_as(library: Library, path: Path, name: str) -> Manifest:
    return import_model(model_at(path), library, ModelName.parse(name))


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_on_this_machine_is_taken_in(
    library: Library, tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path / "my lora", KINDS[kind])
    if kind == "gguf":
        path = next(path.iterdir())
    local = model_at(path)
    assert (local.format, local.name) == (
        "adapter", "lora-f16:latest" if kind == "gguf" else "my-lora:latest",
    )  # fmt: skip
    assert import_as(library, path, "here").details.base_model == BASE
    assert read_adapter(find_adapter(resolve_adapter("here", library))).files.kind == kind


def test_adapters_in_the_cache_and_in_ollamas_store_are_used_in_place(
    library: Library, tmp_path: Path
) -> None:
    add_cached_repo(tmp_path / "hf", "org/lora", KINDS["peft"])
    add_cached_repo(tmp_path / "hf", "org/gguf", KINDS["gguf"])
    models, problems = find_cached_models(tmp_path / "hf")
    assert [(m.name, m.format) for m in models] == [
        ("hf.co/org/gguf:f16", "adapter"), ("hf.co/org/lora:latest", "adapter"),
    ]  # fmt: skip
    assert problems == []
    for local in models:
        import_model(local, library, ModelName.parse(local.name))
    assert resolve_adapter("hf.co/org/lora", library).is_dir()
    layers = {"model": GGUF, "adapter": gguf_bytes(), "template": b"{{ .Prompt }}"}
    add_ollama_model(tmp_path / "ollama", "library/tuned:latest", layers)
    (local,), problems = find_ollama_models(tmp_path / "ollama")
    assert problems == []
    import_model(local, library, ModelName.parse("tuned"))
    files = resolve("tuned", library)
    assert files.adapter is not None
    assert files.adapter.read_bytes() == gguf_bytes()
    assert files.paths[0].read_bytes() == GGUF


def named(name: str, repo: str = "") -> Manifest:
    return Manifest(name, "gguf", (), source=Source(repo, "main") if repo else None)


@pytest.mark.parametrize(
    ("name", "repo", "is_base"),
    [
        ("llama3.2:1b", "bartowski/Llama-3.2-1B-Instruct-GGUF", True),
        ("Llama-3.2-1B-Instruct:Q4_K_M", "", True),
        ("hf.co/mlx-community/Llama-3.2-1B-Instruct-4bit:latest", "", True),
        ("Llama-3.2-1B:Q4_K_M", "", False),
        ("llama3.2:3b", "bartowski/Llama-3.2-3B-Instruct-GGUF", False),
    ],
)
def test_the_base_is_found_under_the_names_it_has_here(name: str, repo: str, is_base: bool) -> None:
    for base in (BASE, "unsloth/Llama-3.2-1B-Instruct-bnb-4bit", "Llama-3.2-1B-Instruct"):
        assert find_bases(base, [named(name, repo)]) == ([name] if is_base else [])
    assert find_bases("", [named(name, repo)]) == []


def test_what_to_do_with_an_adapter_is_said_in_commands() -> None:
    here = [named("small:latest", "x/Llama-3.2-1B-Instruct-GGUF")]
    assert how_to_apply("me", BASE, here) == "localllm run small --adapter me"
    wanted = "localllm pull llama3.2:1b, then localllm run llama3.2:1b --adapter me"
    assert how_to_apply("me", BASE, []) == wanted
    assert find_source("org/unknown") == "hf.co/org/unknown"
    assert how_to_apply("me", "", here) == "localllm run MODEL --adapter me"


@pytest.mark.parametrize(
    ("files", "base"),
    [
        (peft_files("/home/x/models/Base-7B/"), "Base-7B"),
        (peft_files("https://huggingface.co/org/base"), "org/base"),
        (mlx_files("./models/base"), "base"),
        (peft_files(""), ""),
    ],
)
def test_a_makers_own_path_is_cut_to_its_name(
    tmp_path: Path, files: Mapping[str, bytes], base: str
) -> None:
    assert read_adapter(find_adapter(write(tmp_path / "a", files))).base_model == base

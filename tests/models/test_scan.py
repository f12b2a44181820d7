"""Models of other programs are found where those programs keep them, and nothing else is."""

from pathlib import Path

import pytest

from models.name import ModelName
from models.ollama_store import find_ollama_models
from models.places import Places, find_places
from models.scan import find_cached_models, find_lm_studio_models, scan
from models.store.library import Library
from models.store.manifest import Source
from models.template import is_go_template
from tests.models import gguf_writer as w
from tests.models.layouts import COMMIT, add_cached_repo, add_lm_studio_model, add_ollama_model
from tests.models.safetensors_writer import write_mlx

GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)
GO = b"{{ if .System }}<|system|>{{ .System }}{{ end }}{{ .Prompt }}"


def mlx_files(tmp_path: Path, **options: int) -> dict[str, bytes]:
    source = write_mlx(tmp_path / "source", **options)
    return {path.name: path.read_bytes() for path in source.iterdir()}


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, ".cache/huggingface/hub"),
        ({"HF_HOME": "{}/hf"}, "hf/hub"),
        ({"HF_HOME": "{}/hf", "HF_HUB_CACHE": "{}/other"}, "other"),
        ({"XDG_CACHE_HOME": "{}/xdg"}, "xdg/huggingface/hub"),
    ],
)
def test_the_hugging_face_cache_is_where_its_variables_say(
    tmp_path: Path, environ: dict[str, str], folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    given = {name: text.format(tmp_path) for name, text in environ.items()}
    assert find_places(given, tmp_path).huggingface == (tmp_path / folder,)


def test_the_other_stores_are_found_by_variable_pointer_or_default(tmp_path: Path) -> None:
    for folder in (".ollama/models", "own", "lms/models", ".lmstudio/models"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path}/lms\n")
    places = find_places({}, tmp_path)
    assert places.ollama == (tmp_path / ".ollama/models",)
    assert places.lmstudio == (tmp_path / "lms/models", tmp_path / ".lmstudio/models")
    assert find_places({"OLLAMA_MODELS": str(tmp_path / "own")}, tmp_path).ollama == (
        tmp_path / "own",
    )
    assert find_places({}, tmp_path / "nobody") == Places()


def test_each_gguf_file_of_a_cached_repository_is_a_model(tmp_path: Path) -> None:
    files = {"T-Q4_K_M.gguf": GGUF, "sub/T-Q8_0.gguf": GGUF + b"x", "mmproj-F16.gguf": GGUF}
    snapshot = add_cached_repo(tmp_path, "org/T-GGUF", files | {"README.md": b"hi"})
    models, problems = find_cached_models(tmp_path)
    assert [model.name for model in models] == ["hf.co/org/T-GGUF:Q4_K_M", "hf.co/org/T-GGUF:Q8_0"]
    assert models[1].source == Source("org/T-GGUF", COMMIT, "sub/T-Q8_0.gguf")
    assert models[0].location == snapshot / "T-Q4_K_M.gguf"
    assert models[0].size_bytes == len(GGUF)
    assert problems == []


def test_a_cached_mlx_repository_is_one_model_and_must_be_whole(tmp_path: Path) -> None:
    files = mlx_files(tmp_path, shards=2)
    add_cached_repo(tmp_path / "hub", "mlx-community/T-4bit", files | {"README.md": b"hi"})
    del files["model-00002-of-00002.safetensors"]
    add_cached_repo(tmp_path / "hub", "org/half", files)
    (model,), (problem,) = find_cached_models(tmp_path / "hub")
    assert (model.name, model.format) == ("hf.co/mlx-community/T-4bit:latest", "mlx")
    assert "README.md" not in {file.file_name for file in model.files}
    assert "1 files of weights are missing: model-00002-of-00002" in problem


def test_shards_are_one_model_and_a_missing_one_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    shards = {path.name: path.read_bytes() for path in w.write_shards(tmp_path / "s")}
    add_cached_repo(tmp_path / "hub", "org/whole", shards)
    half = dict(list(shards.items())[:2])
    add_cached_repo(tmp_path / "hub", "org/half", half)
    (model,), problems = find_cached_models(tmp_path / "hub")
    assert len(model.files) == 3
    assert [file.role for file in model.files] == ["shard"] * 3
    assert len(problems) == 1
    assert "1 of 3 shards missing" in problems[0]


def test_only_the_current_revision_counts_and_broken_links_do_not(tmp_path: Path) -> None:
    add_cached_repo(tmp_path, "org/T", {"T-Q8_0.gguf": b"GGUF old"}, commit="f" * 40)
    snapshot = add_cached_repo(tmp_path, "org/T", {"T-Q8_0.gguf": GGUF})
    (snapshot / "T-Q4_0.gguf").symlink_to("../../blobs/nothing")
    (model,), _ = find_cached_models(tmp_path)
    assert model.source is not None
    assert (model.name, model.source.revision) == ("hf.co/org/T:Q8_0", COMMIT)
    (tmp_path / "models--org--T" / "refs" / "main").unlink()
    assert len(find_cached_models(tmp_path)[0]) == 1


def test_ollama_models_come_with_all_their_layers(tmp_path: Path) -> None:
    layers = {
        "model": GGUF,
        "template": GO,
        "system": b"Be brief.",
        "params": b'{"stop": ["<|end|>"]}',
        "license": b"MIT",
        "license#2": b"and more",
    }
    add_ollama_model(tmp_path, "library/llama3.2:1b", layers)
    add_ollama_model(tmp_path, "alice/mine:v1", {"model": GGUF}, separator=":")
    add_ollama_model(tmp_path, "org/repo:Q8_0", {"model": GGUF}, host="hf.co")
    models, problems = find_ollama_models(tmp_path)
    by_name = {model.name: model for model in models}
    assert set(by_name) == {"llama3.2:1b", "alice/mine:v1", "hf.co/org/repo:Q8_0"}
    assert [(file.role, file.file_name) for file in by_name["llama3.2:1b"].files] == [
        ("model", "llama3.2-1b.gguf"),
        ("template", "template"),
        ("system", "system"),
        ("params", "params"),
        ("license", "license"),
        ("license", "license-2"),
    ]
    assert by_name["llama3.2:1b"].notes == ()
    assert by_name["alice/mine:v1"].notes == ()
    assert problems == []


def test_what_of_ollama_cannot_be_used_is_told_and_spares_the_rest(tmp_path: Path) -> None:
    add_ollama_model(tmp_path, "library/good:latest", {"model": GGUF})
    two = {"model": GGUF, "adapter": b"GGUF lora", "adapter#2": b"GGUF more"}
    add_ollama_model(tmp_path, "library/lora:latest", two)
    add_ollama_model(tmp_path, "library/cloud:latest", {"template": b"x"})
    broken = add_ollama_model(tmp_path, "library/broken:latest", {"model": GGUF})
    broken.write_text('{"layers": [{"digest": "sha256:../../x", "size": 1, "mediaType": "m"}]}')
    add_ollama_model(tmp_path, "library/half:latest", {"model": GGUF + b"2"})
    blob = next(path for path in (tmp_path / "blobs").iterdir() if path.read_bytes()[-1:] == b"2")
    blob.write_bytes(b"GG")
    models, problems = find_ollama_models(tmp_path)
    assert [model.name for model in models] == ["good:latest"]
    text = "\n".join(problems)
    assert len(problems) == 4
    assert "lora:latest of Ollama has several adapters" in text
    assert "cloud:latest of Ollama has no GGUF file" in text
    assert "broken/latest: not one of Ollama's manifests" in text
    assert "half:latest of Ollama: sha256:" in text


def test_lm_studio_folders_hold_gguf_and_mlx_models(tmp_path: Path) -> None:
    root = tmp_path / "lms"
    add_lm_studio_model(root, "pub/T-GGUF", {"T-Q6_K.gguf": GGUF, "mmproj-T.gguf": GGUF})
    add_lm_studio_model(root, "pub/T-mlx", mlx_files(tmp_path))
    add_lm_studio_model(root, ".hidden/x", {"x-Q8_0.gguf": GGUF})
    models, problems = find_lm_studio_models(root)
    assert [(model.name, model.format) for model in models] == [
        ("pub/T-GGUF:Q6_K", "gguf"), ("pub/T-mlx:latest", "mlx"),
    ]  # fmt: skip
    assert problems == []


def test_a_scan_covers_all_places(tmp_path: Path) -> None:
    add_cached_repo(tmp_path / "hf", "org/T", {"T-Q8_0.gguf": GGUF})
    add_ollama_model(tmp_path / "ollama", "library/t:latest", {"model": GGUF})
    add_lm_studio_model(tmp_path / "lms", "pub/T", {"T-Q8_0.gguf": GGUF})
    roots = ((tmp_path / "hf",), (tmp_path / "ollama",), (tmp_path / "lms",))
    found = scan(Places(*roots))
    assert [model.place for model in found.models] == ["huggingface", "ollama", "lmstudio"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GO.decode(), True),
        ("{{- range $i, $_ := .Messages }}{{ .Content }}{{- end }}", True),
        ("{{ .Prompt }}", True),
        ('{{ if eq .Role "user" }}x{{ else }}y{{ end }}', True),
        ("{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}", False),
        ("{{ messages[0].content }}", False),
        ("plain", False),
    ],
)
def test_go_templates_are_told_from_jinja(text: str, expected: bool) -> None:
    assert is_go_template(text) is expected


def test_an_unknown_name_that_another_program_has_is_told(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    add_ollama_model(tmp_path / ".ollama/models", "library/llama3.2:1b", {"model": GGUF})
    add_cached_repo(tmp_path / ".cache/huggingface/hub", "org/T", {"T-Q8_0.gguf": GGUF})
    add_lm_studio_model(tmp_path / ".lmstudio/models", "pub/T", {"T-Q6_K.gguf": GGUF})
    for text, owner in (
        ("llama3.2:1b", "Ollama"), ("org/T", "The Hugging Face cache"), ("pub/T", "LM Studio"),
    ):  # fmt: skip
        hint = library.hint_for(ModelName.parse(text))
        assert f"{owner} has it: `localllm import {text}` uses it in place" in hint
    assert "has it" not in library.hint_for(ModelName.parse("llama3.2:3b"))

"""A made model shares its base's contents and adds what was asked for."""

from pathlib import Path
from typing import Any

import pytest

from models.create import NewModel, create_model
from models.details import describe
from models.errors import InvalidInput, InvalidModelFile, NotFound, Unsupported
from models.name import ModelName
from models.resolve import resolve
from models.store.library import Library
from models.store.manifest import Manifest
from tests.models import gguf_writer as w
from tests.models.adapter_files import gguf_bytes, mlx_files, write
from tests.models.making import add_model, check_integrity
from tests.models.safetensors_writer import write_mlx

GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)


def make(library: Library, name: str = "new", **options: Any) -> Manifest:
    return create_model(NewModel(ModelName.parse(name), **options), library)


def test_settings_are_added_and_the_weights_shared(library: Library) -> None:
    base = add_model(library, "base", {"m.gguf": GGUF})
    made = make(
        library,
        base="base",
        system="Be brief.",
        template="{{ messages }}",
        parameters={"temperature": 0.1, "stop": ["x"]},
        messages=[{"role": "user", "content": "hi"}],
        licenses=["MIT", "more"],
    )
    assert made.layers[0] == base.layers[0]
    files = resolve("new", library)
    assert (files.system, files.template, files.license) == ("Be brief.", "{{ messages }}",
                                                             "MIT\nmore")  # fmt: skip
    assert files.parameters == {"temperature": 0.1, "stop": ["x"]}
    assert files.messages == ({"role": "user", "content": "hi"},)
    assert made.details.architecture == "llama"
    assert library.remove(ModelName.parse("base")) == 0
    check_integrity(library)


def test_parameters_add_up_and_the_rest_is_replaced(library: Library) -> None:
    add_model(library, "base", {"m.gguf": GGUF})
    make(
        library, "a", base="base", system="one", parameters={"seed": 1, "top_k": 2}, licenses=["L"]
    )
    make(library, "b", base="a", system="two", parameters={"seed": 3})
    files = resolve("b", library)
    assert (files.system, files.license) == ("two", "L")
    assert files.parameters == {"seed": 3, "top_k": 2}
    make(library, "b", base="b", system="")
    assert resolve("b", library).system is None
    check_integrity(library)


def test_a_model_is_made_of_a_file_a_directory_and_the_bundled_one(tmp_path: Path) -> None:
    pocket = w.write_llama(tmp_path / "pocket.gguf")
    library = Library(tmp_path / "models", bundled=pocket)
    make(library, "a", base=str(pocket), system="x")
    make(library, "b", base=str(write_mlx(tmp_path / "mlx")), system="x")
    make(library, "c", base="pocket", system="x")
    assert {resolve(name, library).format for name in "abc"} == {"gguf", "mlx"}
    pocket.unlink()
    with pytest.raises(InvalidModelFile):
        resolve("a", library)
    check_integrity(Library(tmp_path / "empty"))


def test_a_model_is_made_of_blobs_that_were_uploaded(library: Library, tmp_path: Path) -> None:
    digest, _ = library.blobs.write([GGUF])
    make(library, "one", files={"m.gguf": digest})
    assert resolve("one", library).paths[0].read_bytes() == GGUF
    shards = {path.name: path.read_bytes() for path in w.write_shards(tmp_path)}
    make(library, "many", files={n: library.blobs.write([raw])[0] for n, raw in shards.items()})
    assert [path.name for path in resolve("many", library).paths] == list(shards)
    mlx = {path.name: path.read_bytes() for path in write_mlx(tmp_path / "mlx").iterdir()}
    uploads = {name: library.blobs.write([raw])[0] for name, raw in mlx.items()}
    assert make(library, "dir", files=uploads).details.quantization == "4-bit"
    check_integrity(library)


def test_an_adapter_is_kept_with_the_name(library: Library, tmp_path: Path) -> None:
    add_model(library, "base", {"m.gguf": GGUF})
    make(library, base="base", adapter=write(tmp_path / "lora", mlx_files()))
    files = resolve("new", library)
    assert files.adapter is not None
    assert {path.name: path.read_bytes() for path in files.adapter.iterdir()} == mlx_files()
    assert len(files.paths) == 1


def test_a_go_template_is_kept_and_used(library: Library) -> None:
    add_model(library, "base", {"m.gguf": GGUF})
    make(library, base="base", template="{{ .Prompt }}")
    files = resolve("new", library)
    assert files.template == describe(files).template == "{{ .Prompt }}"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({}, InvalidInput, "neither 'from' or 'files'"),
        ({"base": "none"}, NotFound, "model 'none' not found"),
        ({"base": "./none.gguf"}, NotFound, "no such file"),
        ({"base": "base", "template": "{% if %}"}, InvalidInput, "template's line 1"),
        ({"base": "base", "parameters": {"sed": 1}}, InvalidInput, "unknown parameter 'sed'"),
        ({"base": "base", "messages": [{"role": "x"}]}, InvalidInput, "role 'x'"),
        ({"base": "base", "adapter": Path("/none")}, NotFound, "no such adapter"),
        ({"files": {"a.txt": "sha256:" + "0" * 64}}, InvalidInput, "no files provided"),
        ({"files": {"a.gguf": "sha256:" + "0" * 64}}, NotFound, "not found"),
        ({"files": {"../a.gguf": "sha256:" + "0" * 64}}, InvalidInput, "must be relative"),
        ({"files": {"a.gguf": "nonsense"}}, InvalidInput, "invalid digest"),
    ],
)
def test_what_cannot_be_made_says_why_and_leaves_nothing(
    library: Library, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    add_model(library, "base", {"m.gguf": GGUF})
    with pytest.raises(kind, match=message):
        make(library, **options)
    assert [manifest.name for manifest in library.list()] == ["base:latest"]
    library.prune()
    check_integrity(library)


def test_blobs_that_are_no_model_are_refused(library: Library) -> None:
    digest, _ = library.blobs.write([b"not a model"])
    with pytest.raises(InvalidModelFile):
        make(library, files={"m.gguf": digest})
    lora, _ = library.blobs.write([gguf_bytes()])
    with pytest.raises(InvalidInput, match="a LoRA adapter, not a model"):
        make(library, files={"m.gguf": lora})
    assert library.list() == []


def test_what_is_no_adapter_is_refused_by_name(library: Library, tmp_path: Path) -> None:
    add_model(library, "base", {"m.gguf": GGUF})
    write(tmp_path / "pickled", {"adapter_model.bin": b"", "adapter_config.json": b"{}"})
    (tmp_path / "model.gguf").write_bytes(GGUF)
    (tmp_path / "empty").mkdir()
    for name, kind, message in (
        ("pickled", Unsupported, "only there as adapter_model.bin"),
        ("model.gguf", InvalidModelFile, "no adapter, but a model"),
        ("empty", InvalidInput, "no adapter in it"),
    ):
        with pytest.raises(kind, match=message):
            make(library, base="base", adapter=tmp_path / name)
    assert [manifest.name for manifest in library.list()] == ["base:latest"]

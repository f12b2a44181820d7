"""What a user calls a model leads to its files, or to an error that helps."""

from pathlib import Path

import pytest

from models.errors import InvalidInput, InvalidModelFile, NotFound
from models.formats.gguf import read_gguf
from models.resolve import resolve
from models.store.library import Library
from models.store.manifest import Layer, Manifest
from tests.models import gguf_writer as w
from tests.models.making import add_model
from tests.models.safetensors_writer import write_mlx


def test_a_library_name_leads_to_its_gguf_file(library: Library) -> None:
    manifest = add_model(library, "tiny:q4", {"tiny.gguf": w.model_bytes(w.LLAMA, w.WEIGHTS)})
    files = resolve("Tiny:Q4", library)
    assert (files.name, files.format, files.digest) == ("tiny:q4", "gguf", manifest.digest)
    assert files.directory is None
    assert read_gguf(files.paths[0]).metadata["general.name"] == "Tiny"


def test_shards_in_the_library_keep_names_that_find_each_other(
    library: Library, tmp_path: Path
) -> None:
    shards = w.write_shards(tmp_path)
    layers = tuple(
        Layer("shard", *library.blobs.write([shard.read_bytes()]), shard.name) for shard in shards
    )
    library.write(Manifest("sharded", "gguf", layers))
    files = resolve("sharded", library)
    assert [path.name for path in files.paths] == [shard.name for shard in shards]
    assert len(read_gguf(files.paths[0]).tensors) == 3


def test_an_mlx_model_in_the_library_is_a_directory(library: Library, tmp_path: Path) -> None:
    source = write_mlx(tmp_path / "mlx")
    add_model(library, "m", {path.name: path.read_bytes() for path in source.iterdir()})
    files = resolve("m", library)
    assert files.format == "mlx"
    assert files.paths == ()
    assert files.directory is not None
    assert {p.name for p in files.directory.iterdir()} == {p.name for p in source.iterdir()}


def test_settings_stored_with_a_name_come_with_it(library: Library) -> None:
    def put(role: str, text: str) -> Layer:
        return Layer(role, *library.blobs.write([text.encode()]), role)  # type: ignore[arg-type]

    layers = (
        put("model", "GGUF"),
        put("template", "{{ x }}"),
        put("system", "Be brief."),
        put("params", '{"temperature": 0, "stop": ["a"]}'),
        put("messages", '[{"role": "user", "content": "hi"}]'),
        put("license", "MIT"),
        put("adapter", "lora"),
    )
    library.write(Manifest("m", "gguf", layers))
    files = resolve("m", library)
    assert files.template == "{{ x }}"
    assert files.system == "Be brief."
    assert files.parameters == {"temperature": 0, "stop": ["a"]}
    assert files.messages == ({"role": "user", "content": "hi"},)
    assert files.license == "MIT"
    assert files.adapter is not None
    assert files.adapter.read_text() == "lora"
    assert files.paths[0].read_text() == "GGUF"


@pytest.mark.parametrize("form", ["tiny.gguf", "./tiny.gguf", "{}/tiny.gguf", "~/tiny.gguf"])
def test_a_path_to_a_gguf_file_is_taken(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    w.write_llama(tmp_path / "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    files = resolve(form.format(tmp_path), library)
    assert (files.name, files.format) == ("tiny", "gguf")
    assert files.paths[0].resolve() == tmp_path / "tiny.gguf"
    assert len(files.digest) == 64


def test_directories_with_a_model_are_taken(library: Library, tmp_path: Path) -> None:
    mlx = resolve(str(write_mlx(tmp_path / "mlx")), library)
    assert (mlx.name, mlx.format, mlx.directory) == ("mlx", "mlx", tmp_path / "mlx")
    (tmp_path / "shards").mkdir()
    shards = w.write_shards(tmp_path / "shards")
    assert resolve(str(tmp_path / "shards"), library).paths == tuple(shards)
    assert resolve(str(shards[2]), library).paths == tuple(shards)


def test_a_library_name_comes_before_a_file_unless_written_as_a_path(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(library, "tiny", {"tiny.gguf": b"GGUF library"})
    (tmp_path / "tiny").write_bytes(b"GGUF file")
    monkeypatch.chdir(tmp_path)
    assert resolve("tiny", library).paths[0].read_bytes() == b"GGUF library"
    assert resolve("./tiny", library).paths[0].read_bytes() == b"GGUF file"


def test_a_changed_file_has_another_digest(library: Library, tmp_path: Path) -> None:
    path = w.write_llama(tmp_path / "tiny.gguf")
    before = resolve(str(path), library).digest
    path.write_bytes(path.read_bytes() + bytes(32))
    assert resolve(str(path), library).digest != before


@pytest.mark.parametrize(
    "text", ["./no.gguf", "/no/such", "no.gguf", "~/no", "no/dir/", "a/b.gguf"]
)
def test_a_missing_path_is_called_a_path(library: Library, text: str) -> None:
    with pytest.raises(NotFound, match="no such file or directory"):
        resolve(text, library)


def test_a_misspelt_name_is_never_silently_another_model(library: Library) -> None:
    add_model(library, "qwen3:4b", {"m.gguf": b"GGUF"})
    with pytest.raises(NotFound, match="model 'qwen3:4' not found") as caught:
        resolve("qwen3:4", library)
    assert "qwen3:4b" in str(caught.value.hint)
    with pytest.raises(InvalidInput, match="invalid model name"):
        resolve("qwen3 4b", library)


def test_what_is_on_disk_but_no_model_says_why(library: Library, tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(InvalidModelFile, match="begins with b'hell'"):
        resolve(str(tmp_path / "text.gguf"), library)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidModelFile, match=r"neither config\.json nor a GGUF"):
        resolve(str(tmp_path / "empty"), library)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    with pytest.raises(InvalidModelFile, match=r"no \*\.safetensors"):
        resolve(str(tmp_path / "half"), library)
    (tmp_path / "two").mkdir()
    for stem in ("a", "b"):
        w.write_llama(tmp_path / "two" / f"{stem}.gguf")
    with pytest.raises(InvalidInput, match=r"several models: a\.gguf, b\.gguf"):
        resolve(str(tmp_path / "two"), library)


def test_the_bundled_model_takes_the_likeliest_token_unless_asked_otherwise(tmp_path: Path) -> None:
    assert resolve("pocket", Library(tmp_path)).parameters == {"temperature": 0.0}

"""Models on the machine become the library's without losing, doubling or changing a byte."""

import os
from pathlib import Path

import pytest

from models.details import describe
from models.errors import InvalidInput, InvalidModelFile, NotFound, StorageError
from models.importing import Way, import_model
from models.local_model import LocalModel, model_at, name_of
from models.name import ModelName
from models.ollama_store import find_ollama_models
from models.resolve import resolve
from models.scan import find_cached_models
from models.store.library import Library
from models.store.manifest import Manifest
from tests.models import gguf_writer as w
from tests.models.hub import FakeHub
from tests.models.layouts import add_cached_repo, add_ollama_model
from tests.models.making import check_integrity
from tests.models.safetensors_writer import write_mlx

WAYS: tuple[Way, ...] = ("reference", "link", "copy", "move")


def take(
    local: LocalModel, library: Library, way: Way = "reference", name: str | None = None
) -> Manifest:
    return import_model(local, library, ModelName.parse(name or local.name), way)


@pytest.mark.parametrize("way", WAYS)
def test_a_gguf_file_comes_in_by_each_way(library: Library, tmp_path: Path, way: Way) -> None:
    path = w.write_llama(tmp_path / "Tiny-Q4_K_M.gguf")
    content = path.read_bytes()
    manifest = take(model_at(path), library, way)
    assert (manifest.name, manifest.details.architecture) == ("Tiny:Q4_K_M", "llama")
    blob = library.blobs.path(manifest.layers[0].digest)
    assert blob.read_bytes() == content
    assert blob.is_symlink() == (way == "reference")
    assert path.exists() == (way != "move")
    assert (way == "link") == (path.exists() and not blob.is_symlink() and path.samefile(blob))
    check_integrity(library)
    freed_bytes = library.remove(ModelName.parse("tiny:q4_k_m"))
    assert freed_bytes == (len(content) if way in ("copy", "move") else 0)
    assert path.exists() == (way != "move")
    assert list((library.root / "partial").glob("*")) == []


@pytest.mark.parametrize("way", WAYS)
def test_shards_and_directories_come_in_whole(library: Library, tmp_path: Path, way: Way) -> None:
    (tmp_path / "s").mkdir()
    shards = w.write_shards(tmp_path / "s")
    contents = {path.name: path.read_bytes() for path in shards}
    take(model_at(shards[1]), library, way)
    files = resolve("tiny", library)
    assert {path.name: path.read_bytes() for path in files.paths} == contents
    mlx = write_mlx(tmp_path / "M-4bit", shards=2)
    (mlx / "README.md").write_text("stays")
    take(model_at(mlx), library, way)
    found = resolve("m-4bit", library)
    assert describe(found).details.quantization == "4-bit"
    assert {path.name for path in mlx.iterdir()} >= {"README.md"}
    check_integrity(library)


def test_a_cached_repository_is_used_in_place_and_survives_a_new_snapshot(
    library: Library, tmp_path: Path
) -> None:
    content = w.model_bytes(w.LLAMA, w.WEIGHTS)
    snapshot = add_cached_repo(tmp_path, "org/T-GGUF", {"T-Q8_0.gguf": content})
    (local,), _ = find_cached_models(tmp_path)
    manifest = take(local, library)
    (snapshot / "T-Q8_0.gguf").unlink()
    assert resolve("org/t-gguf:q8_0", library).paths[0].read_bytes() == content
    assert manifest.source == local.source
    assert sum(path.stat().st_blocks for path in (library.root / "blobs").iterdir() if not
               path.is_symlink()) == 0  # fmt: skip


def test_an_ollama_model_keeps_its_settings_and_its_go_template(
    library: Library, tmp_path: Path
) -> None:
    layers = {
        "model": w.model_bytes(w.LLAMA, w.WEIGHTS),
        "template": b"{{ .Prompt }}",
        "system": b"Be brief.",
        "params": b'{"temperature": 0.1, "stop": ["x"]}',
        "messages": b'[{"role": "user", "content": "hi"}]',
        "license": b"MIT",
    }
    add_ollama_model(tmp_path, "library/t:1b", layers)
    (local,), _ = find_ollama_models(tmp_path)
    take(local, library)
    files = resolve("t:1b", library)
    assert files.template == describe(files).template == "{{ .Prompt }}"
    assert files.system == "Be brief."
    assert files.parameters == {"temperature": 0.1, "stop": ["x"]}
    assert files.messages == ({"role": "user", "content": "hi"},)
    assert files.license == "MIT"
    with pytest.raises(InvalidInput, match="belongs to another program"):
        take(local, library, "move", "other")


def test_importing_again_changes_nothing_and_reads_nothing(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    first = take(model_at(path), library)
    with monkeypatch.context() as patched:
        patched.setattr("models.importing.hash_file", lambda _: pytest.fail("read again"))
        assert take(model_at(path), library) == first


def test_what_was_used_in_place_can_be_kept_and_moved_later(
    library: Library, tmp_path: Path
) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    content = path.read_bytes()
    take(model_at(path), library)
    take(model_at(path), library, "move")
    assert not path.exists()
    (manifest,) = library.list()
    blob = library.blobs.path(manifest.layers[0].digest)
    assert not blob.is_symlink()
    assert blob.read_bytes() == content


def test_another_model_of_that_name_is_not_replaced(library: Library, tmp_path: Path) -> None:
    take(model_at(w.write_llama(tmp_path / "m.gguf")), library)
    other = w.write_llama(tmp_path / "n.gguf", seed=1)
    with pytest.raises(InvalidInput, match="'m' is already another model here"):
        take(model_at(other), library, "move", "m")
    assert other.exists()
    library.prune()
    check_integrity(library)


def test_no_model_is_left_where_it_was_and_out_of_the_library(
    library: Library, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(w.model_bytes(w.LLAMA, w.WEIGHTS)[:-40])
    with pytest.raises(InvalidModelFile):
        take(model_at(bad), library, "move")
    assert bad.exists()
    assert library.list() == []
    with pytest.raises(NotFound, match="no such file"):
        model_at(tmp_path / "none.gguf")
    (tmp_path / "link.gguf").symlink_to(w.write_llama(tmp_path / "m.gguf"))
    with pytest.raises(InvalidInput, match="symbolic link cannot be moved"):
        take(model_at(tmp_path / "link.gguf"), library, "move")


def test_a_file_of_the_library_itself_is_refused(library: Library, tmp_path: Path) -> None:
    take(model_at(w.write_llama(tmp_path / "m.gguf")), library, "copy")
    (blob,) = (library.root / "blobs").iterdir()
    with pytest.raises(InvalidInput, match="is in the library already"):
        take(model_at(blob), library, "move", "again")
    assert blob.exists()


def test_a_file_that_changes_while_it_is_read_is_refused(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.store.blobs import hash_file

    path = w.write_llama(tmp_path / "m.gguf")

    def hash_and_change(read: Path) -> str:
        digest = hash_file(read)
        os.utime(read, ns=(1, 1))
        return digest

    monkeypatch.setattr("models.importing.hash_file", hash_and_change)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        take(model_at(path), library)
    assert library.list() == []


def test_a_link_across_disks_is_refused_and_a_move_copies(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    path = w.write_llama(tmp_path / "m.gguf")
    content = path.read_bytes()
    monkeypatch.setattr("models.store.blobs.os.link", refuse)
    with pytest.raises(StorageError, match="no hard link") as caught:
        take(model_at(path), library, "link")
    assert "--copy" in str(caught.value.hint)
    take(model_at(path), library, "move")
    assert not path.exists()
    assert resolve("m", library).paths[0].read_bytes() == content


def test_a_reference_whose_file_has_gone_says_where_it_was(
    library: Library, tmp_path: Path
) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    take(model_at(path), library)
    path.unlink()
    assert [manifest.name for manifest in library.list()] == ["m:latest"]
    with pytest.raises(InvalidModelFile) as caught:
        resolve("m", library)
    assert str(path) in str(caught.value.hint)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M", "Llama-3.2-1B-Instruct:Q4_K_M"),
        ("tinyllama-1.1b-chat-v1.0.Q5_K_S", "tinyllama-1.1b-chat-v1.0:Q5_K_S"),
        ("my model (1)", "my-model-1:latest"),
        ("ünï", "n:latest"),
        ("Q8_0", "Q8_0:latest"),
    ],
)
def test_a_file_name_becomes_a_library_name(stem: str, name: str) -> None:
    assert name_of(stem) == name
    assert ModelName.parse(name).display == name


def test_a_second_import_does_not_trust_a_file_that_changed_after_the_first(
    library: Library, tmp_path: Path
) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    content = path.read_bytes()
    take(model_at(path), library)
    w.write_llama(path, seed=1)
    (tmp_path / "again.gguf").write_bytes(content)
    take(model_at(tmp_path / "again.gguf"), library)
    assert resolve("again", library).paths[0].read_bytes() == content
    check_integrity(library)


def test_a_content_of_our_own_never_becomes_a_reference(library: Library, tmp_path: Path) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    digest, _ = library.blobs.write([path.read_bytes()])
    take(model_at(path), library)
    assert not library.blobs.path(digest).is_symlink()
    library.blobs.add_reference(path, digest)
    assert not library.blobs.path(digest).is_symlink()


def test_an_original_is_not_removed_while_its_content_is_only_a_reference(
    library: Library, tmp_path: Path
) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    manifest = take(model_at(path), library)
    library.blobs.remove_original(path, manifest.layers[0].digest)
    assert path.exists()


def test_a_cache_that_huggingface_hub_itself_wrote_is_used_in_place(
    library: Library, tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import snapshot_download

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    files = {path.name: path.read_bytes() for path in write_mlx(tmp_path / "mlx").iterdir()}
    hub.add("org/mlx", files)
    hub.add("org/T-GGUF", {"q/T-Q8_0.gguf": w.model_bytes(w.LLAMA, w.WEIGHTS)})
    cache = tmp_path / "cache"
    for repo in ("org/mlx", "org/T-GGUF"):
        snapshot_download(repo, endpoint=hub.endpoint, cache_dir=cache, token=False)
    models, problems = find_cached_models(cache)
    assert problems == []
    for local in models:
        take(local, library)
    assert describe(resolve("org/mlx", library)).details.quantization == "4-bit"
    assert resolve("org/T-GGUF:Q8_0", library).format == "gguf"
    commits = {manifest.source.revision for manifest in library.list() if manifest.source}
    assert commits == {repo.main for repo in hub.repos.values()}
    check_integrity(library)

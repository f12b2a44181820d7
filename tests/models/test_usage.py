"""What models take on the disk adds up, and says what is shared and what could be had back."""

from pathlib import Path

from models.hub.partial import PartialFile
from models.importing import import_model
from models.local_model import model_at
from models.name import ModelName
from models.places import Places
from models.store.library import Library
from models.store.usage import measure
from tests.models import gguf_writer as w
from tests.models.layouts import add_ollama_model
from tests.models.making import add_model

KB = 1 << 10


def blocks(size_bytes: int) -> int:
    return -(-size_bytes // 4096) * 4096


def test_an_empty_library_takes_nothing_and_is_not_made(library: Library) -> None:
    usage = measure(library, Places())
    assert (usage.models, usage.blob_bytes, usage.reclaimable_bytes) == ((), 0, 0)
    assert not library.root.exists()


def test_own_and_shared_bytes_are_told_apart(library: Library) -> None:
    add_model(library, "a", {"m.gguf": b"x" * 40 * KB, "t.json": b"y" * 8 * KB})
    add_model(library, "b", {"m.gguf": b"x" * 40 * KB})
    usage = measure(library, Places())
    by_name = {model.name: model for model in usage.models}
    assert by_name["a:latest"].own_bytes == 8 * KB
    assert by_name["a:latest"].shared_bytes == by_name["b:latest"].shared_bytes == 40 * KB
    assert usage.blob_bytes == 48 * KB
    assert usage.reclaimable_bytes == 0
    assert library.remove(ModelName.parse("a")) == by_name["a:latest"].own_bytes


def test_files_in_place_belong_to_others_and_may_be_missing(
    library: Library, tmp_path: Path
) -> None:
    path = w.write_llama(tmp_path / "m.gguf")
    import_model(model_at(path), library, ModelName.parse("m"))
    (model,) = measure(library, Places()).models
    assert (model.own_bytes, model.in_place_bytes) == (0, path.stat().st_size)
    assert measure(library, Places()).blob_bytes == 0
    path.unlink()
    (model,) = measure(library, Places()).models
    assert (model.in_place_bytes, model.missing_bytes) == (0, model.size_bytes)


def test_partials_and_unused_contents_are_reclaimable(library: Library) -> None:
    library.blobs.write([b"o" * 8 * KB])
    partial = PartialFile(library.blobs.partial_dir / "half", 1 << 20, segment_bytes=1 << 20)
    partial.write(0, b"p" * 4 * KB)
    partial.sync()
    partial.close()
    (library.blobs.partial_dir / "half.lock").touch()
    usage = measure(library, Places())
    assert usage.unused_bytes == 8 * KB
    (found,) = usage.partials
    assert (found.key, found.size_bytes, found.is_running) == ("half", 1 << 20, False)
    assert 4 * KB <= found.disk_bytes < 1 << 20, "holes take no space"
    assert usage.reclaimable_bytes == 8 * KB + found.disk_bytes
    assert library.prune() + library.blobs.remove_partials() >= usage.reclaimable_bytes
    assert measure(library, Places()).reclaimable_bytes == 0


def test_a_damaged_manifest_makes_the_unused_unknown(library: Library) -> None:
    add_model(library, "a", {"m.gguf": b"x"})
    (path,) = (library.root / "manifests").rglob("*.json")
    path.write_text("{")
    assert measure(library, Places()).unused_bytes is None


def test_another_store_shows_what_it_shares(library: Library, tmp_path: Path) -> None:
    content = w.model_bytes(w.LLAMA, w.WEIGHTS)
    root = tmp_path / "ollama"
    add_ollama_model(root, "library/t:latest", {"model": content})
    blob = next(path for path in (root / "blobs").iterdir() if path.read_bytes() == content)
    (tmp_path / "m.gguf").hardlink_to(blob)
    import_model(model_at(tmp_path / "m.gguf"), library, ModelName.parse("m"), "link")
    (store,) = measure(library, Places(ollama=(root,))).stores
    assert store.shared_bytes == blocks(len(content))
    assert store.disk_bytes > store.shared_bytes

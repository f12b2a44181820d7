"""The store: names appear whole, contents are shared, removal takes only what nobody needs."""

import dataclasses
import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from models.errors import InvalidInput, InvalidModelFile, NotFound, StorageError
from models.hub.partial import PartialFile
from models.name import ModelName
from models.store.disk import locked
from models.store.library import Library
from models.store.manifest import Layer, Manifest
from tests.models import gguf_writer as w
from tests.models.making import add_model, check_integrity


def name(text: str) -> ModelName:
    return ModelName.parse(text)


def names(library: Library) -> list[str]:
    return [manifest.name for manifest in library.list()]


def test_an_empty_library_lists_nothing_and_creates_nothing(library: Library) -> None:
    assert library.list() == []
    assert library.find(name("x")) is None
    assert not library.root.exists()


def test_a_model_is_found_in_any_case_and_keeps_its_own(library: Library) -> None:
    written = add_model(library, "Tiny:Q4", {"m.gguf": b"abc"})
    assert library.get(name("tiny:q4")) == written
    assert names(library) == ["Tiny:Q4"]
    add_model(library, "TINY:q4", {"m.gguf": b"def"})
    assert names(library) == ["Tiny:Q4"]
    check_integrity(library)


def test_a_manifest_reads_back_as_it_was_written(library: Library) -> None:
    written = add_model(library, "a", {"m.gguf": b"abc"})
    again = Library(library.root).get(name("a"))
    assert again == written
    assert again.digest == written.digest
    assert again.size_bytes == 3


def test_an_exact_local_name_comes_before_the_hub_repository(library: Library) -> None:
    hub = add_model(library, "hf.co/org/repo:Q8_0", {"m.gguf": b"hub"})
    assert library.get(name("org/repo:q8_0")) == hub
    local = add_model(library, "org/repo:Q8_0", {"m.gguf": b"local"})
    assert library.get(name("org/repo:q8_0")) == local
    library.remove(name("org/repo:Q8_0"))
    assert library.get(name("org/repo:Q8_0")) == hub


def test_the_newest_model_is_listed_first(library: Library) -> None:
    for text in ("c", "a", "b"):
        add_model(library, text, {"m.gguf": text.encode()})
    assert names(library) == ["b:latest", "a:latest", "c:latest"]


def test_removal_keeps_what_another_model_uses(library: Library) -> None:
    add_model(library, "a", {"m.gguf": b"shared", "t.json": b"only a"})
    add_model(library, "b", {"m.gguf": b"shared"})
    assert library.remove(name("a")) == len(b"only a")
    check_integrity(library)
    assert library.remove(name("b")) == len(b"shared")
    assert list(library.blobs.digests()) == []
    assert list((library.root / "manifests").iterdir()) == []


def test_a_copy_shares_its_contents(library: Library) -> None:
    add_model(library, "a", {"m.gguf": b"abc"})
    library.copy(name("a"), name("alice/b:c"))
    assert names(library) == ["alice/b:c", "a:latest"]
    assert len(list(library.blobs.digests())) == 1
    library.remove(name("a"))
    check_integrity(library)


def test_replacing_a_model_drops_what_only_the_former_used(library: Library) -> None:
    add_model(library, "a", {"m.gguf": b"old", "t.json": b"kept"})
    add_model(library, "a", {"m.gguf": b"young", "t.json": b"kept"})
    check_integrity(library)


def test_unknown_names_say_what_is_near(library: Library) -> None:
    add_model(library, "llama3.2:1b", {"m.gguf": b"abc"})
    for act in (library.get, library.remove):
        with pytest.raises(NotFound, match=r"model 'lama3\.2:1b' not found") as caught:
            act(name("lama3.2:1b"))
        assert "Did you mean llama3.2:1b?" in (caught.value.hint or "")
        assert "`localllm pull llama3.2:1b`" in (caught.value.hint or "")


def test_the_hint_for_a_name_that_can_be_pulled_says_how(library: Library) -> None:
    assert "`localllm pull qwen3:4b` fetches it" in library.hint_for(name("qwen3:4b"))
    assert "`localllm pull org/repo` fetches it" in library.hint_for(name("org/repo"))
    assert "`localllm pull ORG/REPO`" in library.hint_for(name("zzzzzz"))


def test_interrupted_downloads_are_given_up_on_demand_only(library: Library) -> None:
    for key, running in (("idle", False), ("running", True)):
        partial = PartialFile(library.blobs.partial_dir / key, 10, segment_bytes=5)
        partial.write(0, b"01234")
        partial.close()
        (library.blobs.partial_dir / f"{key}.lock").touch()
        if running:
            with locked(library.blobs.partial_dir / "running.lock"):
                library.blobs.remove_partials()
    left = {path.name for path in library.blobs.partial_dir.iterdir()}
    assert left == {"running", "running.progress", "running.lock"}


def test_a_manifest_without_its_blobs_is_refused(library: Library) -> None:
    digest, size_bytes = library.blobs.write([b"abc"])
    gone = Layer("model", "sha256:" + "0" * 64, 3, "m.gguf")
    with pytest.raises(InvalidModelFile, match=r"missing, 3 expected"):
        library.write(Manifest("a", "gguf", (gone,)))
    short = Layer("model", digest, size_bytes + 1, "m.gguf")
    with pytest.raises(InvalidModelFile, match=r"3 bytes, 4 expected"):
        library.write(Manifest("a", "gguf", (short,)))
    with pytest.raises(InvalidInput, match="has no files"):
        library.write(Manifest("a", "gguf", ()))
    assert names(library) == []


DAMAGED = {
    "not JSON": "{",
    "cut": '{"schema": 1, "name": "a"',
    "a list": "[]",
    "another schema": '{"schema": 99}',
    "not UTF-8": '{"schema": 1, "name": "\xff"}',
    "no layers": '{"schema": 1, "name": "a", "format": "gguf"}',
    "bad digest": None,
    "path that leaves": None,
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_manifest_is_named_and_spares_the_others(library: Library, case: str) -> None:
    add_model(library, "good", {"m.gguf": b"abc"})
    add_model(library, "bad", {"m.gguf": b"xyz"})
    (path,) = (library.root / "manifests").rglob("bad/latest.json")
    stored = json.loads(path.read_text())
    if case == "bad digest":
        stored["layers"][0]["digest"] = "sha256:../../etc"
    stored["layers"][0]["file_name"] = "../../evil" if case == "path that leaves" else "m.gguf"
    path.write_text(DAMAGED[case] or json.dumps(stored), encoding="latin-1")
    assert names(library) == ["good:latest"]
    with pytest.raises(InvalidModelFile, match=str(path)):
        library.get(name("bad"))
    library.remove(name("good"))
    assert len(list(library.blobs.digests())) == 2, "nothing is dropped while one is unreadable"
    library.remove(name("bad"))
    assert library.prune() == 6


def test_prune_takes_orphans_but_no_pinned_or_partial_content(library: Library) -> None:
    add_model(library, "a", {"m.gguf": b"abc"})
    pinned, _ = library.blobs.write([b"pinned"])
    library.blobs.write([b"orphan"])
    partial = library.blobs.partial_dir / "half"
    partial.write_bytes(b"half")
    with library.pinned([pinned]):
        assert library.prune() == len(b"orphan")
        assert library.blobs.has(pinned)
    assert library.prune() == len(b"pinned")
    assert partial.exists()
    check_integrity(library)


def test_the_pin_of_a_dead_process_counts_for_nothing(library: Library) -> None:
    digest, _ = library.blobs.write([b"abc"])
    child = os.fork()
    if child == 0:
        with library.pinned([digest]):
            os._exit(9)
    os.waitpid(child, 0)
    assert len(list((library.root / "pins").iterdir())) == 1
    assert library.prune() == 3
    assert list((library.root / "pins").iterdir()) == []


def test_uploads_are_verified_and_leave_nothing_behind(library: Library) -> None:
    digest, size_bytes = library.blobs.write([b"a", b"bc"])
    assert size_bytes == 3
    assert library.blobs.path(digest).read_bytes() == b"abc"
    with pytest.raises(InvalidInput, match="digest mismatch"):
        library.blobs.write([b"other"], expected=digest)
    assert list(library.blobs.partial_dir.iterdir()) == []


def test_a_file_used_in_place_is_not_deleted_with_its_name(
    library: Library, tmp_path: Path
) -> None:
    own = tmp_path / "mine.gguf"
    own.write_bytes(b"abc")
    digest, size_bytes = Library(tmp_path / "other").blobs.write([b"abc"])
    library.blobs.add_reference(own, digest)
    library.write(Manifest("a", "gguf", (Layer("model", digest, size_bytes, "mine.gguf"),)))
    assert library.remove(name("a")) == 0
    assert own.read_bytes() == b"abc"
    assert list(library.blobs.digests()) == []


def test_a_view_that_is_asked_for_again_outlives_a_prune(library: Library) -> None:
    manifest = add_model(library, "a", {"m.gguf": b"abc"})
    with library.pinned([layer.digest for layer in manifest.layers]):
        library.remove(name("a"))
        view = library.directory(manifest)
        os.utime(view, (0, 0))
        assert library.directory(manifest) == view
        library.prune()
        assert (view / "m.gguf").read_bytes() == b"abc"


def test_a_directory_view_has_the_files_under_their_names(library: Library) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"w", "adapter/a.json": b"[]"}
    manifest = add_model(library, "m", files)
    view = library.directory(manifest)
    assert {str(p.relative_to(view)) for p in view.rglob("*") if p.is_file()} == set(files)
    assert (view / "model.safetensors").read_bytes() == b"w"
    (view / "config.json").unlink()
    assert library.directory(manifest) == view
    assert (view / "config.json").read_bytes() == b"{}"
    library.copy(name("m"), name("n"))
    library.remove(name("m"))
    assert view.is_dir()
    library.remove(name("n"))
    assert not view.exists()


def test_the_bundled_model_is_listed_copied_and_never_changed(tmp_path: Path) -> None:
    pocket = w.write_llama(tmp_path / "pocket.gguf")
    library = Library(tmp_path / "models", bundled=pocket)
    (manifest,) = library.list()
    assert manifest.name == "pocket:latest"
    assert manifest.details.architecture == "llama"
    assert library.layer_path(manifest.layers[0]) == pocket
    with pytest.raises(InvalidInput, match="cannot be removed"):
        library.remove(name("Pocket"))
    with pytest.raises(InvalidInput, match="cannot be replaced"):
        library.write(dataclasses.replace(manifest))
    library.copy(name("pocket"), name("mine"))
    pocket.unlink()
    assert names(library) == ["mine:latest"]
    check_integrity(library)


def test_a_changed_bundled_file_is_described_anew(tmp_path: Path) -> None:
    pocket = w.write_llama(tmp_path / "pocket.gguf")
    library = Library(tmp_path / "models", bundled=pocket)
    before = library.get(name("pocket"))
    assert library.get(name("pocket")) == before
    pocket.write_bytes(w.model_bytes(w.LLAMA, {"t": ("F32", (4, 4))}))
    assert library.get(name("pocket")).digest != before.digest


def test_an_unusable_root_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    library = Library(tmp_path / "file" / "models", bundled=tmp_path / "none")
    assert library.list() == []
    with pytest.raises(StorageError, match="part of the path is a file"):
        library.blobs.write([b"abc"])


def test_a_thousand_models_are_listed_quickly_enough_to_not_notice(library: Library) -> None:
    manifest = add_model(library, "m:0", {"m.gguf": b"abc"})
    folder = next((library.root / "manifests").rglob("m"))
    text = (folder / "0.json").read_text()
    for index in range(1, 1000):
        (folder / f"{index}.json").write_text(text.replace("m:0", f"m:{index}"))
    assert len(library.list()) == 1000
    assert library.get(name("m:999")).layers == manifest.layers


def churn(root: Path, seed: int, seconds: float) -> None:
    """Create, copy, remove, prune and list at random; any error kills the process."""
    rng = random.Random(seed)
    library = Library(root, bundled=root / "none")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        target = f"m{rng.randrange(4)}"
        act = rng.randrange(5)
        try:
            if act <= 1:
                content = [str(rng.randrange(6)).encode() * 99 for _ in range(2)]
                planned = [Library(root / "dry").blobs.write([c])[0] for c in content]
                with library.pinned(planned):
                    add_model(library, target, {"m.gguf": content[0], "t.json": content[1]})
            elif act == 2:
                library.copy(name(target), name(f"m{rng.randrange(4)}"))
            elif act == 3:
                library.remove(name(target))
            else:
                library.prune()
        except NotFound:
            pass
        for manifest in library.list():
            assert manifest.layers


def test_processes_that_change_a_library_at_once_leave_it_consistent(library: Library) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=churn, args=(library.root, seed, 2.0)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    library.prune()
    check_integrity(library)


def test_a_process_killed_while_changing_leaves_the_library_whole(library: Library) -> None:
    fork = multiprocessing.get_context("fork")
    rng = random.Random(7)
    for seed in range(12):
        process = fork.Process(target=churn, args=(library.root, seed, 30.0))
        process.start()
        time.sleep(rng.uniform(0.02, 0.12))
        process.kill()
        process.join()
        check_integrity(library, may_orphan=True)
    library.prune()
    check_integrity(library)

"""Equal files come to share their bytes; nothing that changed, or is not equal, is touched."""

import os
import shutil
from pathlib import Path

import pytest

from models.places import Places
from models.store.clone import clone_file
from models.store.dedupe import MIN_BYTES, Duplicate, find_duplicates, merge
from models.store.library import Library
from tests.models.layouts import add_cached_repo, add_lm_studio_model, add_ollama_model
from tests.models.making import add_model, check_integrity

BIG = os.urandom(MIN_BYTES)
OTHER = os.urandom(MIN_BYTES)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Three stores with the same model, and one that is only as long."""
    add_cached_repo(tmp_path / "hf", "org/T", {"T.gguf": BIG, "other.gguf": OTHER})
    add_ollama_model(tmp_path / "ollama", "library/t:latest", {"model": BIG})
    add_lm_studio_model(tmp_path / "lms", "org/T", {"T.gguf": BIG})
    return Places((tmp_path / "hf",), (tmp_path / "ollama",), (tmp_path / "lms",))


def only(library: Library, places: Places) -> Duplicate:
    (found,) = find_duplicates(library, places)
    return found


def test_a_search_finds_equal_files_and_changes_nothing(library: Library, places: Places) -> None:
    add_model(library, "t", {"m.gguf": BIG, "small.json": b"{}"})
    found = only(library, places)
    assert found.kept.path.parent == library.root / "blobs", "the library's own file is kept"
    assert len(found.copies) == 3
    assert found.wasted_bytes == 3 * MIN_BYTES
    assert {copy.path.stat().st_nlink for copy in found.copies} == {1}


def test_merged_files_are_one_and_every_program_finds_its_own(
    library: Library, places: Places
) -> None:
    add_model(library, "t", {"m.gguf": BIG})
    found = only(library, places)
    modes = [copy.path.stat().st_mode for copy in found.copies]
    merges = list(merge(found))
    assert {one.how for one in merges} <= {"clone", "hard link"}
    assert sum(one.freed_bytes for one in merges) == found.wasted_bytes
    assert [copy.path.read_bytes() for copy in found.copies] == [BIG] * 3
    assert [copy.path.stat().st_mode for copy in found.copies] == modes
    folders = {copy.path.parent for copy in found.copies}
    assert not [path for folder in folders for path in folder.glob(".*")]
    check_integrity(library)
    if merges[0].how == "hard link":
        assert find_duplicates(library, places) == []


def test_a_clone_keeps_each_files_own_times(
    library: Library, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clone(source: Path, target: Path) -> bool:
        shutil.copyfile(source, target)
        return True

    monkeypatch.setattr("models.store.dedupe.clone_file", clone)
    found = only(library, places)
    os.utime(found.copies[0].path, ns=(5, 5))
    found = only(library, places)
    before = [copy.fingerprint for copy in found.copies]
    assert [one.how for one in merge(found)] == ["clone", "clone"]
    for copy, fingerprint in zip(found.copies, before, strict=True):
        assert copy.path.stat().st_mtime_ns == fingerprint.modified_ns
        assert copy.path.stat().st_ino != fingerprint.inode


@pytest.mark.parametrize("changed", ["kept", "copy"])
def test_a_file_that_changed_since_it_was_read_is_left_alone(
    library: Library, places: Places, changed: str
) -> None:
    found = only(library, places)
    victim = found.kept.path if changed == "kept" else found.copies[0].path
    victim.write_bytes(OTHER)
    os.utime(victim, ns=(7, 7))
    merges = list(merge(found))
    assert merges[0].how == "left"
    assert "changed since it was read" in merges[0].reason
    assert victim.read_bytes() == OTHER
    assert all(copy.path.read_bytes() == BIG for copy in found.copies if copy.path != victim)


def test_a_file_that_has_gone_is_left_alone(library: Library, places: Places) -> None:
    found = only(library, places)
    found.kept.path.unlink()
    assert [one.how for one in merge(found)] == ["left", "left"]
    assert all(copy.path.read_bytes() == BIG for copy in found.copies)


def test_a_disk_that_cannot_link_is_told(
    library: Library, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("models.store.dedupe.clone_file", lambda *_: False)
    monkeypatch.setattr("models.store.dedupe.os.link", refuse)
    assert {one.reason for one in merge(only(library, places))} == {"invalid cross-device link"}


def test_a_file_that_changes_while_it_is_read_counts_for_nothing(
    library: Library, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_and_change(path: Path) -> str:
        os.utime(path, ns=(1, 1))
        return "sha256:" + "0" * 64

    monkeypatch.setattr("models.store.dedupe.hash_file", hash_and_change)
    assert find_duplicates(library, places) == []


def test_hard_and_symbolic_links_are_no_copies(library: Library, tmp_path: Path) -> None:
    folder = add_lm_studio_model(tmp_path / "lms", "org/T", {"T.gguf": BIG})
    (folder / "again.gguf").hardlink_to(folder / "T.gguf")
    (folder / "link.gguf").symlink_to(folder / "T.gguf")
    assert find_duplicates(library, Places(lmstudio=(tmp_path / "lms",))) == []


def test_a_clone_has_the_same_bytes_or_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    if clone_file(tmp_path / "a", tmp_path / "b"):
        assert (tmp_path / "b").read_bytes() == BIG
    else:
        assert not (tmp_path / "b").exists()
    with pytest.raises(FileNotFoundError):
        clone_file(tmp_path / "none", tmp_path / "c")

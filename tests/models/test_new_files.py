"""Models that are made piece by piece appear whole, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import InvalidInput, StorageError
from models.files import ModelFiles
from models.name import ModelName
from models.resolve import resolve
from models.store.library import Library
from models.store.new_files import NewFile, NewFiles, check_target, store_files, text_file, watch
from models.store.new_files import write_files as write
from tests.models import gguf_writer as w
from tests.models.making import check_integrity

GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)
LIKE = ModelFiles("base", "gguf", (), None, "", system="Be brief.", parameters={"temperature": 0.1})
NAME = ModelName.parse("made:Q4_K_M")


def pieces() -> Iterator[bytes]:
    yield GGUF[:1000]
    yield GGUF[1000:]


def interrupted() -> Iterator[bytes]:
    yield GGUF[:1000]
    raise KeyboardInterrupt


def gguf_of(make: object = pieces) -> NewFiles:
    return NewFiles("gguf", (NewFile("model.gguf", len(GGUF), make),))  # type: ignore[arg-type]


def directory_of() -> NewFiles:
    return NewFiles("mlx", (text_file("config.json", "{}"), text_file("m.safetensors", "w")))


def test_a_new_model_gets_a_name_and_the_settings_of_the_old_one(library: Library) -> None:
    store_files(gguf_of(), NAME, library, LIKE)
    files = resolve("made:Q4_K_M", library)
    assert files.paths[0].read_bytes() == GGUF
    assert (files.system, dict(files.parameters)) == ("Be brief.", {"temperature": 0.1})
    check_integrity(library)


def test_an_interrupt_leaves_no_name_and_no_bytes(library: Library, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        store_files(gguf_of(interrupted), NAME, library, LIKE)
    assert library.list() == []
    assert list(library.blobs.digests()) == []
    assert library.blobs.partials() == []
    with pytest.raises(KeyboardInterrupt):
        write(gguf_of(interrupted), tmp_path / "out" / "made.gguf")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupt_leaves_no_directory(tmp_path: Path) -> None:
    broken = NewFiles("mlx", (*directory_of().files, NewFile("x", 9, interrupted)))
    with pytest.raises(KeyboardInterrupt):
        write(broken, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
    write(directory_of(), tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "config.json",
        "m.safetensors",
    ]


def test_a_former_model_of_the_name_stays_until_the_new_one_is_whole(library: Library) -> None:
    store_files(gguf_of(), NAME, library, LIKE)
    with pytest.raises(KeyboardInterrupt):
        store_files(gguf_of(interrupted), NAME, library, LIKE)
    assert resolve("made:Q4_K_M", library).paths[0].read_bytes() == GGUF


def test_a_disk_without_room_is_noticed_before_the_work(library: Library, tmp_path: Path) -> None:
    def forbidden() -> Iterator[bytes]:
        raise AssertionError

    huge = NewFiles("gguf", (NewFile("model.gguf", 1 << 60, forbidden),))
    with pytest.raises(StorageError, match="GB are free"):
        store_files(huge, NAME, library, LIKE)
    with pytest.raises(StorageError, match="GB are free"):
        write(huge, tmp_path / "made.gguf")


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    there = tmp_path / "there.gguf"
    there.touch()
    with pytest.raises(InvalidInput, match="exists already"):
        check_target(there, overwrite=False)
    check_target(there, overwrite=True)
    with pytest.raises(InvalidInput, match="not empty"):
        check_target(tmp_path, overwrite=True)
    check_target(tmp_path / "new", overwrite=False)


def test_progress_counts_the_bytes_that_were_made(tmp_path: Path) -> None:
    told: list[int] = []
    write(watch(gguf_of(), told.append), tmp_path / "made.gguf")
    assert told == [1000, len(GGUF)]

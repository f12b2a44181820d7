"""Clones: the call to the system, and what import and dedupe make of them on a disk that can."""

import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.importing import import_model
from models.local_model import model_at
from models.name import ModelName
from models.places import Places
from models.store.clone import clone_file
from models.store.dedupe import find_duplicates, merge
from models.store.library import Library
from tests.models import gguf_writer as w
from tests.models.layouts import add_lm_studio_model

FICLONE = 0x40049409
SIZE_BYTES = 8 << 20
FREED_WITHIN_S = 20


def test_the_system_is_asked_to_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the kernel that answers as btrfs does."""
    asked = []

    def ioctl(target: int, request: int, source: int) -> int:
        asked.append(request)
        os.sendfile(target, source, 0, 1 << 20)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "a").write_bytes(b"content")
    assert clone_file(tmp_path / "a", tmp_path / "b")
    assert asked == [FICLONE]
    assert (tmp_path / "b").read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY])
def test_a_disk_that_cannot_clone_leaves_no_target(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "a").write_bytes(b"content")
    assert not clone_file(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_full_disk_is_an_error_and_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(*_: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(OSError, match="No space left"):
        clone_file(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.fixture(params=["btrfs", "xfs"])
def cloning_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system of that kind in a loop device: needs root and its tools."""
    kind = str(request.param)
    if os.geteuid() != 0 or not all(map(shutil.which, (f"mkfs.{kind}", "mount", "umount"))):
        pytest.skip(f"needs root and mkfs.{kind}")
    image, folder = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(512 << 20)
    folder.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode:
        pytest.skip(f"this machine mounts no {kind} in a loop")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def used_bytes(folder: Path) -> int:
    os.sync()
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def falls_to(folder: Path, num_bytes: float) -> bool:
    """Whether so little is used soon: XFS frees the blocks of removed files in the background."""
    deadline_s = time.monotonic() + FREED_WITHIN_S
    while used_bytes(folder) >= num_bytes and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return used_bytes(folder) < num_bytes


def large_model() -> bytes:
    return w.model_bytes(w.LLAMA, {"a.weight": ("F16", (SIZE_BYTES // 512, 256))})


@pytest.mark.slow
def test_an_imported_copy_shares_its_bytes_until_one_changes(cloning_disk: Path) -> None:
    source = cloning_disk / "model.gguf"
    content = large_model()
    source.write_bytes(content)
    before = used_bytes(cloning_disk)
    library = Library(cloning_disk / "home" / "models", bundled=cloning_disk / "no-pocket.gguf")
    manifest = import_model(model_at(source), library, ModelName.parse("a"), "copy")
    assert used_bytes(cloning_disk) - before < SIZE_BYTES // 4
    blob = library.layer_path(manifest.layers[0])
    assert not blob.is_symlink()
    assert blob.stat().st_ino != source.stat().st_ino
    with source.open("r+b") as file:
        file.write(bytes(1 << 16))
    assert blob.read_bytes() == content


@pytest.mark.slow
def test_dedupe_frees_what_copies_take(cloning_disk: Path) -> None:
    content = large_model()
    for name in ("A", "B", "C"):
        add_lm_studio_model(cloning_disk / "lms", f"org/{name}", {f"{name}.gguf": content})
    library = Library(cloning_disk / "home" / "models", bundled=cloning_disk / "no-pocket.gguf")
    places = Places(lmstudio=(cloning_disk / "lms",))
    (found,) = find_duplicates(library, places)
    before = used_bytes(cloning_disk)
    merges = list(merge(found))
    assert [one.how for one in merges] == ["clone", "clone"]
    assert falls_to(cloning_disk, before - 1.5 * SIZE_BYTES)
    for path in (cloning_disk / "lms").rglob("*.gguf"):
        assert path.read_bytes() == content

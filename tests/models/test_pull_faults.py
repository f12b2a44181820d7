"""Pulling when things go wrong: overcome bit-exactly, or one clear error and nothing lost."""

import errno
import shutil
from pathlib import Path

import pytest

from models.errors import (
    AccessDenied,
    Busy,
    InvalidModelFile,
    NotFound,
    StorageError,
    Unreachable,
    UserError,
)
from models.hub.pull import pull
from models.name import ModelName
from models.store.library import Library
from tests.models.hub import FakeHub, Fault, sha256
from tests.models.making import check_integrity
from tests.models.pulling import REPO, cancel_after, model, run, served, stored

FAULTS = {
    "5xx": [Fault("Q8_0", "status", times=3, status=503)],
    "502 from the API": [Fault("/api/", "status", times=2, status=502)],
    "429 with Retry-After": [Fault("Q8_0", "status", status=429, headers={"Retry-After": "0"})],
    "dropped at once": [Fault("/cdn/", "drop", times=3, after_bytes=0)],
    "dropped in the middle": [Fault("/cdn/", "drop", times=2, after_bytes=9_999)],
    "dropped at the last byte": [Fault("/cdn/", "drop", after_bytes=39_000)],
    "ranges ignored": [
        Fault("/cdn/", "drop", after_bytes=5_000),
        Fault("/cdn/", "no-range", times=9),
    ],
    "another range": [Fault("/cdn/", "wrong-range", times=2)],
    "many things": [
        Fault("/resolve/", "status", times=2, status=500),
        Fault("/cdn/", "drop", times=4, after_bytes=3_000),
        Fault("/cdn/", "status", times=2, status=504),
    ],
}


@pytest.mark.parametrize("segment_bytes", [64 << 20, 7_000])
@pytest.mark.parametrize("case", FAULTS)
def test_passing_faults_are_overcome_bit_exactly(
    hub: FakeHub, library: Library, content: bytes, case: str, segment_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("models.hub.download.SEGMENT_BYTES", segment_bytes)
    hub.faults += [
        Fault(f.where, f.kind, f.times, f.status, f.after_bytes, f.headers) for f in FAULTS[case]
    ]
    run(hub, library)
    assert stored(library) == content
    assert hub.take_fault("/cdn/Q8_0/api/resolve/", "status", "drop", "wrong-range") is None
    check_integrity(library)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (503, Unreachable, "answers 503"),
        (500, Unreachable, "answers 500"),
        (429, Busy, r"limits requests \(429\)"),
        (403, AccessDenied, "forbidden"),
        (404, NotFound, "no such repository"),
    ],
)
def test_lasting_faults_end_in_one_clear_error_and_keep_what_is_here(
    hub: FakeHub, library: Library, content: bytes, status: int, error: type[UserError], words: str
) -> None:
    cancel_after(hub, library, 20_000)
    hub.faults.append(Fault("/cdn/", "status", times=99, status=status))
    with pytest.raises(error, match=words) as caught:
        run(hub, library)
    assert caught.value.hint
    assert library.list() == []
    hub.faults.clear()
    run(hub, library)
    assert stored(library) == content
    assert served(hub) == len(content)


def test_a_server_that_asks_for_an_hour_is_not_waited_for(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    assert content
    hub.faults.append(Fault("/api/", "status", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(Busy) as caught:
        run(hub, library)
    assert "Try again in 3600 s" in str(caught.value.hint)


def test_waiting_is_said_aloud(hub: FakeHub, library: Library, content: bytes) -> None:
    assert content
    hub.faults.append(Fault("/api/", "status", status=503, headers={"Retry-After": "0"}))
    statuses = [event.status for event in run(hub, library)]
    assert "the server answered 503, trying again in 0 s" in statuses


def test_a_wrong_sha256_never_gets_a_name(hub: FakeHub, library: Library, content: bytes) -> None:
    assert content
    hub.repos[REPO].announced_sha256["Tiny-Q8_0.gguf"] = "ab" * 32
    with pytest.raises(InvalidModelFile, match="not what the Hub announces"):
        run(hub, library)
    assert library.list() == []
    assert list(library.blobs.digests()) == []
    assert list(library.blobs.partial_dir.iterdir()) == []


def test_bytes_changed_on_the_way_are_noticed(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    hub.faults.append(Fault("/cdn/", "flip", after_bytes=12_345))
    with pytest.raises(InvalidModelFile, match="not what the Hub announces"):
        run(hub, library)
    run(hub, library)
    assert stored(library) == content


def test_a_damaged_partial_file_is_fetched_again(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    cancel_after(hub, library, 20_000)
    partial = library.blobs.partial_dir / sha256(content)
    raw = bytearray(partial.read_bytes())
    raw[100] ^= 1
    partial.write_bytes(raw)
    statuses = [event.status for event in run(hub, library)]
    assert "what was kept of Tiny-Q8_0.gguf is damaged, fetching it again" in statuses
    assert stored(library) == content


def test_a_full_disk_is_noticed_before_the_first_byte(
    hub: FakeHub, library: Library, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert content
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(StorageError, match="more are needed, 268 MB to spare, and 0 MB are free"):
        run(hub, library)
    assert served(hub) == 0


def test_a_disk_that_fills_up_on_the_way_is_one_clear_error(
    hub: FakeHub, library: Library, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", refuse)
        with pytest.raises(StorageError, match="the disk is full"):
            run(hub, library)
    run(hub, library)
    assert stored(library) == content


def test_an_unwritable_home_is_one_clear_error(hub: FakeHub, tmp_path: Path) -> None:
    hub.add(REPO, {"Tiny-Q8_0.gguf": model()})
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="part of the path is a file"):
        run(hub, Library(tmp_path / "file" / "models"))


def test_a_file_that_is_no_model_never_gets_a_name(hub: FakeHub, library: Library) -> None:
    hub.add("org/bad", {"bad-Q8_0.gguf": b"GGUF" + bytes(5_000)})
    with pytest.raises(InvalidModelFile, match="version 0"):
        run(hub, library, "org/bad")
    assert library.list() == []
    assert library.prune() == 5_004


def test_an_unknown_repository_and_no_server_are_told_apart(
    hub: FakeHub, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="org/none: no such repository"):
        run(hub, library, "org/none")
    monkeypatch.setattr("models.hub.snapshot.MAX_TRIES", 2)
    with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:9"):
        list(pull(ModelName.parse("o/r"), library, endpoint="http://127.0.0.1:9"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        run(hub, library)

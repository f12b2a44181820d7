"""Pulling from a Hub stand-in: what arrives is exact, whatever goes wrong on the way."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
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
from models.name import ModelName
from models.pull import PullProgress, pull
from models.resolve import resolve
from models.store import Library
from tests.models import gguf_writer as w
from tests.models.hub import TOKEN, FakeHub, Fault, git_oid, sha256
from tests.models.making import check_integrity
from tests.models.safetensors_writer import write_mlx

ROOT = Path(__file__).resolve().parents[2]
REPO = "org/Tiny-GGUF"
NAME = "hf.co/org/Tiny-GGUF:Q8_0"


def model(num_bytes: int = 40_000, seed: int = 0) -> bytes:
    shape = (num_bytes // 34, 32)
    return w.model_bytes(w.LLAMA, {"token_embd.weight": ("Q8_0", shape)}, seed=seed)


@pytest.fixture
def content(hub: FakeHub) -> bytes:
    """The Q8_0 file of the repository that the stand-in has."""
    found = model()
    hub.add(REPO, {"README.md": b"hi", "Tiny-Q8_0.gguf": found, "Tiny-Q4_K_M.gguf": model(seed=1)})
    return found


def run(hub: FakeHub, library: Library, name: str = NAME, **options: str) -> list[PullProgress]:
    found = list(pull(ModelName.parse(name), library, endpoint=hub.endpoint, **options))
    assert found[-1].status == "success"
    return found


def stored(library: Library, name: str = NAME) -> bytes:
    return resolve(name, library).paths[0].read_bytes()


def served(hub: FakeHub) -> int:
    return sum(count for path, count in hub.served_bytes.items() if path.endswith(".gguf"))


def test_a_gguf_file_arrives_with_name_source_and_details(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    events = run(hub, library)
    assert stored(library) == content
    manifest = library.get(ModelName.parse(NAME))
    assert manifest.name == NAME
    assert manifest.details.architecture == "llama"
    assert manifest.source is not None
    assert manifest.source.repo == REPO
    assert manifest.source.revision == hub.repos[REPO].main
    assert manifest.source.file == "Tiny-Q8_0.gguf"
    assert manifest.layers[0].digest == f"sha256:{sha256(content)}"
    about = [event for event in events if event.total_bytes]
    assert about[-1].completed_bytes == about[-1].total_bytes == len(content)
    assert about[-1].status == f"pulling {sha256(content)[:12]}"
    assert [event.status for event in events if not event.total_bytes] == [
        "pulling manifest",
        "verifying Tiny-Q8_0.gguf",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert served(hub) == len(content)
    check_integrity(library)


def test_a_second_pull_fetches_nothing(hub: FakeHub, library: Library, content: bytes) -> None:
    run(hub, library)
    created = library.get(ModelName.parse(NAME)).created
    events = run(hub, library)
    run(hub, library, "ORG/tiny-gguf:tiny-q8_0.gguf")
    assert served(hub) == len(content)
    assert "writing manifest" not in [event.status for event in events]
    assert library.get(ModelName.parse(NAME)).created == created


def test_without_a_quantization_the_name_is_latest(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    assert content
    run(hub, library, "org/Tiny-GGUF")
    assert stored(library, "org/tiny-gguf") == model(seed=1)
    assert library.list()[0].name == "hf.co/org/Tiny-GGUF:latest"


def test_shards_and_mlx_directories_arrive_whole(
    hub: FakeHub, library: Library, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    shards = {path.name: path.read_bytes() for path in w.write_shards(tmp_path / "s")}
    hub.add("org/sharded", {f"Q4/{name}": raw for name, raw in shards.items()})
    run(hub, library, "org/sharded")
    files = resolve("org/sharded", library)
    assert {path.name: path.read_bytes() for path in files.paths} == shards
    source = write_mlx(tmp_path / "mlx", shards=2)
    mlx = {path.name: path.read_bytes() for path in source.iterdir()}
    hub.add("org/mlx", mlx | {"README.md": b"no", "weights/other.safetensors": b"no"})
    run(hub, library, "org/mlx")
    directory = resolve("org/mlx", library).directory
    assert directory is not None
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == mlx
    assert library.list()[0].details.quantization == "4-bit"
    check_integrity(library)


def test_small_files_of_an_interrupted_pull_are_not_fetched_again(
    hub: FakeHub, library: Library, tmp_path: Path
) -> None:
    source = write_mlx(tmp_path / "mlx")
    hub.add("org/mlx", {path.name: path.read_bytes() for path in source.iterdir()})
    hub.faults.append(Fault("model.safetensors", "status", times=1, status=404))
    with pytest.raises(UserError):
        run(hub, library, "org/mlx")
    before = hub.served_bytes.copy()
    run(hub, library, "org/mlx")
    fetched = hub.served_bytes - before
    assert [path.rpartition("/")[2] for path in fetched] == ["model.safetensors"]


def test_a_large_file_comes_in_segments_side_by_side(
    hub: FakeHub, library: Library, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.download.SEGMENT_BYTES", 7_000)
    run(hub, library)
    assert stored(library) == content
    ranges = {
        headers["range"] for _, path, headers in hub.requests
        if path.startswith("/cdn/") and "range" in headers
    }  # fmt: skip
    assert len(ranges) == -(-len(content) // 7_000)
    assert served(hub) == len(content)


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
    monkeypatch.setattr("models.download.SEGMENT_BYTES", segment_bytes)
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
    assert [path.suffix for path in library.blobs.partial_dir.iterdir()] == [".lock"]


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


def cancel_after(hub: FakeHub, library: Library, num_bytes: int) -> None:
    """Start a pull, close it while the server hangs after `num_bytes`."""
    hang = Fault("/cdn/", "hang", after_bytes=num_bytes)
    hub.faults.append(hang)
    iterator = pull(ModelName.parse(NAME), library, endpoint=hub.endpoint)
    for event in iterator:
        if event.completed_bytes == num_bytes:
            hang.released.set()
            break
    iterator.close()
    hub.faults.clear()


def test_a_cancelled_pull_goes_on_where_it_stopped(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    cancel_after(hub, library, 20_000)
    assert library.list() == []
    assert list(library.blobs.digests()) == []
    run(hub, library)
    assert stored(library) == content
    assert served(hub) == len(content)


def test_what_was_begun_for_one_repository_serves_another(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    cancel_after(hub, library, 20_000)
    hub.add("else/Copy-GGUF", {"Copy-Q8_0.gguf": content})
    run(hub, library, "else/Copy-GGUF")
    assert served(hub) == len(content)


def test_a_moved_revision_keeps_what_did_not_change(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    cancel_after(hub, library, 20_000)
    before = hub.repos[REPO].main
    hub.add(REPO, {"README.md": b"edited", "Tiny-Q8_0.gguf": content})
    run(hub, library)
    source = library.get(ModelName.parse(NAME)).source
    assert source is not None
    assert source.revision == hub.repos[REPO].main != before
    assert served(hub) == len(content)


def test_an_updated_model_replaces_the_former_and_its_blob(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    run(hub, library)
    other = model(seed=5)
    hub.add(REPO, {"Tiny-Q8_0.gguf": other})
    run(hub, library)
    assert stored(library) == other != content
    check_integrity(library)


def test_private_and_gated_repositories_need_the_token(hub: FakeHub, library: Library) -> None:
    hub.add("org/secret", {"s-Q8_0.gguf": model()}, access="private")
    hub.add("org/gated", {"g-Q8_0.gguf": model()}, access="gated")
    with pytest.raises(NotFound, match="org/secret: no such repository") as hidden:
        run(hub, library, "org/secret")
    assert "HF_TOKEN" in str(hidden.value.hint)
    with pytest.raises(AccessDenied, match="gated") as gated:
        run(hub, library, "org/gated")
    assert f"{hub.endpoint}/org/gated" in str(gated.value.hint)
    assert "HF_TOKEN" in str(gated.value.hint)
    with pytest.raises(AccessDenied, match="gated") as refused:
        run(hub, library, "org/gated", token="hf_other")
    assert "wait for the owner" in str(refused.value.hint)
    for name in ("org/secret", "org/gated"):
        run(hub, library, name, token=TOKEN)


def test_the_token_never_reaches_the_storage(hub: FakeHub, library: Library) -> None:
    hub.add("org/secret", {"s-Q8_0.gguf": model()}, access="private")
    run(hub, library, "org/secret", token=TOKEN)
    asked = [headers for _, path, headers in hub.requests if path.startswith("/cdn/")]
    assert asked
    assert all("authorization" not in headers for headers in asked)


def test_an_unknown_repository_and_no_server_are_told_apart(
    hub: FakeHub, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="org/none: no such repository"):
        run(hub, library, "org/none")
    monkeypatch.setattr("models.hub.MAX_TRIES", 2)
    with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:9"):
        list(pull(ModelName.parse("o/r"), library, endpoint="http://127.0.0.1:9"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        run(hub, library)


def test_a_full_disk_is_noticed_before_the_first_byte(
    hub: FakeHub, library: Library, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert content
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(StorageError, match="GB are free"):
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


def test_what_the_hugging_face_cache_has_is_linked_not_fetched(
    hub: FakeHub, library: Library, content: bytes, tmp_path: Path
) -> None:
    blobs = tmp_path / "hf-cache" / "models--org--Tiny-GGUF" / "blobs"
    blobs.mkdir(parents=True)
    cached = blobs / sha256(content)
    cached.write_bytes(content)
    run(hub, library)
    assert served(hub) == 0
    assert stored(library) == content
    assert cached.stat().st_nlink == 2
    library.remove(ModelName.parse(NAME))
    cached.write_bytes(bytes(len(content)))
    run(hub, library)
    assert stored(library) == content


def test_the_bundled_model_needs_no_pull(hub: FakeHub, tmp_path: Path) -> None:
    pocket = w.write_llama(tmp_path / "pocket.gguf")
    run(hub, Library(tmp_path / "models", bundled=pocket), "pocket")
    assert hub.requests == []


def test_two_pulls_of_one_content_share_one_download(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    hub.add("else/Copy-GGUF", {"Copy-Q8_0.gguf": content})
    hub.bytes_per_s = 100_000
    names = [NAME, "else/Copy-GGUF", NAME, "org/Tiny-GGUF:tiny-q8_0"]
    found: list[list[PullProgress]] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(run(hub, library, name)))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert served(hub) == len(content)
    assert stored(library) == stored(library, "else/Copy-GGUF") == content
    check_integrity(library)


def test_removing_a_model_leaves_a_running_pull_its_contents(
    hub: FakeHub, library: Library, tmp_path: Path
) -> None:
    shards = {path.name: path.read_bytes() for path in w.write_shards(tmp_path, stem="m-Q8_0")}
    hub.add("org/part", {"x.gguf": model()})
    hub.add("org/sharded", shards | {"x.gguf": model()})
    run(hub, library, "org/part")
    hang = Fault("00003-of-00003", "hang", after_bytes=10)
    hub.faults.append(hang)
    run(hub, library, "org/part")
    iterator = pull(ModelName.parse("org/sharded:Q8_0"), library, endpoint=hub.endpoint)
    for event in iterator:
        if event.completed_bytes == 10:
            break
    assert len(list(library.blobs.digests())) == 3
    library.remove(ModelName.parse("org/part"))
    library.prune()
    assert len(list(library.blobs.digests())) == 2
    hang.released.set()
    assert list(iterator)[-1].status == "success"
    check_integrity(library)


PULL = """
import sys
from pathlib import Path
from models.name import ModelName
from models.pull import pull
from models.store import Library
import models.download
models.download.SEGMENT_BYTES = int(sys.argv[4])
for _ in pull(ModelName.parse(sys.argv[2]), Library(Path(sys.argv[1])), endpoint=sys.argv[3]):
    pass
"""


def spawn(hub: FakeHub, library: Library, segment_bytes: int) -> "subprocess.Popen[bytes]":
    arguments = [str(library.root), NAME, hub.endpoint, str(segment_bytes)]
    return subprocess.Popen(
        [sys.executable, "-c", PULL, *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_CACHE": str(library.root / "hf"), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )


def kill_and_resume(hub: FakeHub, library: Library, num_kills: int, size_bytes: int) -> None:
    """Kill -9 pulls after a random number of further bytes; each time one ends, begin again.

    Per kill, four connections may each lose the piece in hand and what their socket held.
    """
    rng = random.Random(11)
    content = model(size_bytes)
    hub.add(REPO, {"Tiny-Q8_0.gguf": content})
    hub.bytes_per_s = 30_000_000
    killed, num_whole = 0, 0
    while killed < num_kills or library.list() == []:
        process = spawn(hub, library, size_bytes // 3)
        if killed < num_kills:
            target = served(hub) + rng.randrange(1, size_bytes // 2)
            while served(hub) < target and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), errors.decode()
        killed += process.returncode == -signal.SIGKILL
        check_integrity(library, may_orphan=True)
        if library.list():
            assert stored(library) == content
            num_whole += 1
            if killed < num_kills:
                library.remove(ModelName.parse(NAME))
    wasted_bytes = served(hub) - num_whole * len(content)
    assert 0 <= wasted_bytes < num_kills * 4 * 256 * 1024
    check_integrity(library)


def test_pulls_killed_at_random_bytes_end_bit_exact(hub: FakeHub, library: Library) -> None:
    kill_and_resume(hub, library, num_kills=6, size_bytes=6_000_000)


@pytest.mark.slow
def test_two_hundred_killed_pulls_end_bit_exact(hub: FakeHub, library: Library) -> None:
    kill_and_resume(hub, library, num_kills=200, size_bytes=6_000_000)


def test_small_files_are_verified_by_gits_sha1() -> None:
    assert git_oid(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"

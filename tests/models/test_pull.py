"""Pulling from a Hub stand-in: what arrives, under which name, and what is not fetched twice."""

import threading
from pathlib import Path

import pytest

from models.errors import (
    AccessDenied,
    NotFound,
    UserError,
)
from models.hub.pull import PullProgress, pull
from models.name import ModelName
from models.resolve import resolve
from models.store.library import Library
from tests.models import gguf_writer as w
from tests.models.hub import TOKEN, FakeHub, Fault, git_oid, sha256
from tests.models.making import check_integrity
from tests.models.pulling import NAME, REPO, cancel_after, model, run, served, stored
from tests.models.safetensors_writer import write_mlx


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
    monkeypatch.setattr("models.hub.download.SEGMENT_BYTES", 7_000)
    run(hub, library)
    assert stored(library) == content
    ranges = {
        headers["range"] for _, path, headers in hub.requests
        if path.startswith("/cdn/") and "range" in headers
    }  # fmt: skip
    assert len(ranges) == -(-len(content) // 7_000)
    assert served(hub) == len(content)


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
    assert list(library.blobs.partial_dir.iterdir()) == []
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


def test_small_files_are_verified_by_gits_sha1() -> None:
    assert git_oid(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_memory_decides_the_quantization_and_it_is_said(
    hub: FakeHub, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = model(20_000), model(40_000)
    hub.add("org/two", {"T-Q3_K_M.gguf": small, "T-Q4_K_M.gguf": large})
    monkeypatch.setattr("models.fit.weight_budget_bytes", lambda _: len(small))
    events = run(hub, library, "org/two")
    assert stored(library, "org/two") == small
    assert "choosing Q3_K_M: a larger file would not fit into memory" in [
        event.status for event in events
    ]
    events = run(hub, library, "org/two:Q4_K_M")
    assert stored(library, "org/two:q4_k_m") == large
    assert any("are much for this machine's" in event.status for event in events)


def test_a_file_in_place_that_was_cut_short_is_fetched(
    hub: FakeHub, library: Library, content: bytes, tmp_path: Path
) -> None:
    assert hub.repos
    (tmp_path / "own.gguf").write_bytes(content)
    library.blobs.add_reference(tmp_path / "own.gguf", f"sha256:{sha256(content)}")
    (tmp_path / "own.gguf").write_bytes(content[:100])
    run(hub, library)
    assert stored(library) == content
    assert (tmp_path / "own.gguf").read_bytes() == content[:100]
    check_integrity(library)

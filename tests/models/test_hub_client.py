"""The Hub's client: pages, searches, and how long a server may ask to wait."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event

import pytest

from models.errors import InvalidInput, NotFound, Unreachable
from models.hub.snapshot import Cancelled, Hub
from tests.models.hub import FakeHub, Fault, git_oid, sha256


def test_a_tree_of_many_pages_is_read_whole(hub: FakeHub) -> None:
    files = {f"folder/{index}.bin": bytes([index]) * 10 for index in range(20)}
    files["big.gguf"] = bytes(5_000)
    hub.add("org/many", files)
    snapshot = Hub(endpoint=hub.endpoint).snapshot("org/many")
    assert snapshot.commit == hub.repos["org/many"].main
    assert {file.path for file in snapshot.files} == set(files)
    for file in snapshot.files:
        assert file.size_bytes == len(files[file.path])
        if file.sha256 is None:
            assert file.git_oid == git_oid(files[file.path])
        else:
            assert file.sha256 == sha256(files[file.path])
    assert sum("/tree/" in path for _, path, _ in hub.requests) == 8


def test_the_canonical_spelling_of_a_repository_is_learnt(hub: FakeHub) -> None:
    hub.add("Org/Model", {"a": b""})
    assert Hub(endpoint=hub.endpoint).snapshot("org/model").repo == "Org/Model"


def test_unknown_revisions_and_odd_names_are_refused(hub: FakeHub) -> None:
    hub.add("org/model", {"a": b""})
    with pytest.raises(NotFound, match="no such revision"):
        Hub(endpoint=hub.endpoint).snapshot("org/model", "v9")
    with pytest.raises(InvalidInput, match="not a Hub repository"):
        Hub(endpoint=hub.endpoint).snapshot("org/bad--name")


def test_a_search_finds_repositories_by_words_and_tag(hub: FakeHub) -> None:
    hub.add("org/Qwen-GGUF", {"a.gguf": b""})
    hub.add("org/Other", {"a.gguf": b""})
    hub.add("org/Qwen-secret", {"a.gguf": b""}, access="private")
    found = Hub(endpoint=hub.endpoint).search("qwen", "gguf", max_models=5)
    assert [(entry.repo, entry.num_downloads) for entry in found] == [("org/Qwen-GGUF", 7)]


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Retry-After": "0"}, 429, "429, trying again in 0 s"),
        ({"Retry-After": format_datetime(datetime.now(UTC) - timedelta(1))}, 503, "in 0 s"),
        ({"Retry-After": "soon"}, 503, "503, trying again in 0 s"),
        ({"RateLimit": '"api";r=0;t=0'}, 429, "429, trying again in 0 s"),
    ],
)
def test_the_servers_word_on_waiting_is_kept(
    hub: FakeHub, headers: dict[str, str], status: int, words: str
) -> None:
    hub.add("org/model", {"a": b""})
    hub.faults.append(Fault("/api/", "status", status=status, headers=headers))
    waits: list[str] = []
    Hub(endpoint=hub.endpoint, on_wait=waits.append).snapshot("org/model")
    assert len(waits) == 1
    assert words in waits[0]


def test_waiting_ends_when_it_is_cancelled(hub: FakeHub) -> None:
    hub.add("org/model", {"a": b""})
    hub.faults.append(Fault("/api/", "status", status=429, headers={"Retry-After": "60"}))
    cancelled = Event()
    client = Hub(endpoint=hub.endpoint, cancelled=cancelled, on_wait=lambda _: cancelled.set())
    with pytest.raises(Cancelled):
        client.snapshot("org/model")


def test_other_storage_than_http_is_not_retried() -> None:
    with pytest.raises(Unreachable, match="no answer from ftp"):
        Hub(endpoint="ftp://127.0.0.1").snapshot("org/model")


ODD_ANSWERS = {
    "a login page": b"<html>Please log in</html>",
    "a list": b"[]",
    "null": b"null",
    "no commit": b'{"id": "org/model"}',
    "another commit": b'{"id": "org/model", "sha": "../../etc"}',
}


@pytest.mark.parametrize("case", ODD_ANSWERS)
def test_an_answer_that_is_not_the_hubs_is_one_clear_error(hub: FakeHub, case: str) -> None:
    hub.faults.append(Fault("/api/", "body", body=ODD_ANSWERS[case]))
    with pytest.raises(Unreachable, match="does not answer as the Hugging Face Hub does"):
        Hub(endpoint=hub.endpoint).snapshot("org/model")


FILE = {"type": "file", "path": "a.gguf", "size": 1, "oid": "0" * 40}


@pytest.mark.parametrize(
    "entry",
    [
        FILE | {"oid": "../../../evil"},
        FILE | {"oid": None},
        FILE | {"size": -1},
        FILE | {"size": "1"},
        FILE | {"path": "a\\b"},
        FILE | {"path": ""},
        FILE | {"lfs": {"oid": "../evil"}},
        FILE | {"lfs": {}},
        {"path": "a"},
        7,
    ],
)
def test_a_tree_that_could_write_elsewhere_is_refused(hub: FakeHub, entry: object) -> None:
    hub.add("org/model", {"a": b""})
    hub.faults.append(Fault("/tree/", "body", body=json.dumps([entry]).encode()))
    with pytest.raises(Unreachable, match="does not answer as the Hugging Face Hub does"):
        Hub(endpoint=hub.endpoint).snapshot("org/model")

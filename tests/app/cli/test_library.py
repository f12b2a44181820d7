"""`list`, `show`, `cp` and `rm` against a library on disk, and models that are no models."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from app.locations import library_dir
from models.store.library import Library
from models.store.manifest import Details, Layer, Manifest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_tensor("token_embd.weight", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def library(home: Path, gguf: Path) -> Library:
    """Holds the one model `small:latest`."""
    library = Library(library_dir(home))
    digest, size_bytes = library.blobs.write([gguf.read_bytes()])
    layer = Layer("model", digest, size_bytes, gguf.name)
    library.write(Manifest("small:latest", "gguf", (layer,), Details(quantization="F32")))
    return library


def names(run: Run) -> list[str]:
    return [model["name"] for model in json.loads(run("list", "--json").stdout)]


@pytest.mark.usefixtures("library")
def test_list_shows_what_the_library_holds(run: Run) -> None:
    assert "small:latest" in names(run)
    header, *rows = run("list", "small").stdout.splitlines()
    assert header.split() == ["NAME", "ID", "SIZE", "PARAMETERS", "QUANTIZATION", "MODIFIED"]
    assert [row.split()[0] for row in rows] == ["small:latest"]
    assert len(run("list", "nothing-of-that-name").stdout.splitlines()) == 1


def test_cp_gives_a_second_name_and_rm_takes_names_away(run: Run, library: Library) -> None:
    assert run("cp", "small", "other:v1").returncode == 0
    assert {"small:latest", "other:v1"} <= set(names(run))
    assert run("rm", "small", "other:v1").stdout == ""
    assert not {"small:latest", "other:v1"} & set(names(run))
    assert list(library.blobs.digests()) == []


@pytest.mark.usefixtures("library")
def test_rm_and_show_of_an_unknown_name_name_the_nearest(run: Run) -> None:
    for command in ("rm", "show"):
        done = run(command, "smal")
        assert done.returncode == 4
        assert "small:latest" in done.stderr


@pytest.mark.usefixtures("library")
def test_show_reads_a_file_and_a_name_alike(run: Run, gguf: Path) -> None:
    by_path = json.loads(run("show", "--json", str(gguf)).stdout)
    by_name = json.loads(run("show", "--json", "--tensors", "small").stdout)
    assert by_path["parameter_count"] == by_name["parameter_count"] == 4 * 32
    assert by_name["details"]["architecture"] == "llama"
    assert by_name["tensors"][0]["shape"] == [4, 32]
    assert "context length    64 tokens" in run("show", str(gguf)).stdout


def damaged(kind: str, gguf: Path) -> Path:
    whole = gguf.read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "short header": whole[:30],
        "wrong magic": b"GGML" + whole[4:],
        "empty": b"",
        "version": whole[:4] + b"\x63" + whole[5:],
    }[kind]
    path = gguf.with_name("damaged.gguf")
    path.write_bytes(content)
    return path


KINDS = ("truncated", "short header", "wrong magic", "empty", "version")


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        *(("show", kind) for kind in KINDS),
        *((command, kind) for command in ("run", "bench") for kind in KINDS[:1]),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    run: Run, gguf: Path, command: str, kind: str
) -> None:
    path = damaged(kind, gguf)
    done = run(command, str(path), input="Hello")
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert path.name in first
    assert all(line.startswith("hint: ") for line in rest)


@pytest.mark.parametrize(
    "arguments", [["show"], ["run", "--max-tokens", "1"], ["bench"], ["rm"], ["chat"]]
)
def test_a_model_that_is_not_there_is_refused(run: Run, arguments: list[str]) -> None:
    done = run(*arguments, "./missing.gguf", input="Hello")
    assert done.returncode in (2, 4)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("library")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_is_named(run: Run, home: Path) -> None:
    for folder in (home, *(path for path in home.rglob("*") if path.is_dir())):
        folder.chmod(0o500)
    try:
        done = run("cp", "small", "other")
    finally:
        for folder in (home, *(path for path in home.rglob("*") if path.is_dir())):
            folder.chmod(0o700)
    assert done.returncode == 7
    assert str(home) in done.stderr


def test_a_home_that_is_a_file_is_named(run: Run, home: Path) -> None:
    home.write_text("not a folder")
    assert run("list").returncode == 0
    done = run("rm", "any")
    assert (done.returncode, done.stdout) == (7, "")
    assert str(home) in done.stderr.splitlines()[0]
    doctor = json.loads(run("doctor", "--json").stdout)
    assert {check["name"]: check["state"] for check in doctor}["home"] == "problem"

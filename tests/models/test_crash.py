"""Killed between any two steps on the disk, the library is whole and the same act can be repeated.

The child process dies before its first, second, … operation until it gets through.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.create import NewModel, create_model
from models.errors import NotFound
from models.export import export_model
from models.importing import Way, import_model
from models.local_model import model_at
from models.name import ModelName
from models.places import Places
from models.resolve import resolve
from models.store.blobs import hash_file
from models.store.dedupe import find_duplicates, merge
from models.store.library import Library
from tests.models import gguf_writer as w
from tests.models.crashing import crash_before
from tests.models.layouts import add_lm_studio_model
from tests.models.making import add_model, check_integrity

GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)
OTHER = w.model_bytes(w.LLAMA, w.WEIGHTS, seed=1)
MAX_STEPS = 200

Act = Callable[[Library, Path], object]


def name(text: str) -> ModelName:
    return ModelName.parse(text)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that share a content, an unused one, and a file outside."""
    folder = tmp_path_factory.mktemp("template")
    library = Library(folder / "models", bundled=folder / "none")
    add_model(library, "a", {"m.gguf": GGUF, "t.json": b"{}"})
    add_model(library, "b", {"m.gguf": GGUF})
    library.blobs.write([b"unused"])
    (folder / "new.gguf").write_bytes(OTHER)
    return folder


def set_up(template: Path, folder: Path) -> Library:
    """A fresh copy of all that."""
    shutil.copytree(template, folder)
    return Library(folder / "models", bundled=folder / "none")


def import_by(way: Way) -> Act:
    def act(library: Library, folder: Path) -> object:
        if not (folder / "new.gguf").exists():
            return None
        return import_model(model_at(folder / "new.gguf"), library, name("new"), way)

    return act


def remove(library: Library, _: Path) -> None:
    try:
        library.remove(name("a"))
    except NotFound:
        return


def create(library: Library, _: Path) -> object:
    new = NewModel(name("new"), base="a", system="x", parameters={"seed": 1})
    return create_model(new, library)


ACTS: dict[str, Act] = {
    "add": lambda library, _: add_model(library, "new", {"n.gguf": OTHER, "t.json": b"[]"}),
    "replace": lambda library, _: add_model(library, "a", {"m.gguf": OTHER}),
    "remove": remove,
    "copy": lambda library, _: library.copy(name("a"), name("x/c:d")),
    "prune": lambda library, _: library.prune(),
    "create": create,
    "view": lambda library, _: library.directory(library.get(name("a"))),
    "pin": lambda library, _: library.pinned(["sha256:" + "0" * 64]).__enter__(),
    "import in place": import_by("reference"),
    "import by link": import_by("link"),
    "import by copy": import_by("copy"),
    "import by move": import_by("move"),
}


def check(library: Library, folder: Path, act: str) -> None:
    """What has to hold at every moment."""
    check_integrity(library, may_orphan=True)
    found = {manifest.name: manifest for manifest in library.list()}
    assert "b:latest" in found
    assert act == "remove" or "a:latest" in found
    assert resolve("b", library).paths[0].read_bytes() == GGUF
    if "new:latest" in found and act.startswith("import"):
        assert resolve("new", library).paths[0].read_bytes() == OTHER
    else:
        assert (folder / "new.gguf").read_bytes() == OTHER


def leftovers(library: Library) -> list[Path]:
    """What should not be there once all is tidied up."""
    kept = {"lock", "references.lock", "bundled.json"}
    return [
        path
        for path in library.root.rglob("*")
        if path.is_file()
        and path.name not in kept
        and path.parent.name != "blobs"
        and path.suffix != ".json"
        and "directories" not in path.parts
    ] + [path for path in (library.root / "blobs").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("act", ACTS)
def test_killed_at_any_step_the_library_is_whole_and_the_act_repeats(
    template: Path, tmp_path: Path, act: str
) -> None:
    for step in range(MAX_STEPS):
        folder = tmp_path / str(step)
        library = set_up(template, folder)
        died = crash_before(step, lambda: ACTS[act](library, folder))  # noqa: B023
        fresh = Library(library.root, bundled=folder / "none")
        check(fresh, folder, act)
        if not died:
            break
        ACTS[act](fresh, folder)
        check(fresh, folder, act)
        fresh.prune()
        fresh.blobs.remove_partials()
        if act != "pin":
            check_integrity(fresh)
            assert leftovers(fresh) == []
    else:
        pytest.fail(f"not through after {MAX_STEPS} steps")
    assert step > 2, "the act did nothing that could be stopped"


def test_killed_while_merging_every_program_keeps_its_file(template: Path, tmp_path: Path) -> None:
    big = os.urandom(1 << 20)
    for step in range(MAX_STEPS):
        folder = tmp_path / str(step)
        library = set_up(template, folder)
        blob = library.blobs.path(library.blobs.write([big])[0])
        other = add_lm_studio_model(folder / "lms", "org/T", {"T.gguf": big}) / "T.gguf"
        (found,) = find_duplicates(library, Places(lmstudio=(folder / "lms",)))
        died = crash_before(step, lambda: list(merge(found)))  # noqa: B023
        assert hash_file(blob) == hash_file(other) == found.digest
        check_integrity(library, may_orphan=True)
        if not died:
            break
    assert step > 0


def test_killed_while_exporting_no_part_has_the_name(template: Path, tmp_path: Path) -> None:
    for step in range(MAX_STEPS):
        folder = tmp_path / str(step)
        library = set_up(template, folder)
        manifest = library.get(name("a"))
        act = lambda: export_model(manifest, library, folder / "out")  # noqa: B023, E731
        died = crash_before(step, act)
        exported = folder / "out" / "m.gguf"
        assert not exported.exists() or exported.read_bytes() == GGUF
        if not died:
            break
        act()
        assert exported.read_bytes() == GGUF
    assert step > 1

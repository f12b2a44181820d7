"""An update is seen when files that loading needs have changed, and fetches only those."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.create import NewModel, create_model
from models.hub.pull import pull_target
from models.hub.snapshot import Hub
from models.hub.update import Update, find_update
from models.name import ModelName
from models.store.library import Library
from tests.models.hub import FakeHub
from tests.models.making import add_model, check_integrity
from tests.models.pulling import NAME, REPO, model, run, stored
from tests.models.safetensors_writer import write_mlx


def look(hub: FakeHub, library: Library, name: str = NAME) -> Update:
    manifest = library.get(ModelName.parse(name))
    return find_update(manifest, library, Hub(endpoint=hub.endpoint))


def test_a_new_file_is_newer_and_a_new_readme_is_not(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    run(hub, library)
    assert look(hub, library).state == "current"
    hub.add(REPO, {"README.md": b"changed", "Tiny-Q8_0.gguf": content})
    assert look(hub, library).state == "current"
    newer = model(seed=5)
    hub.add(REPO, {"README.md": b"changed", "Tiny-Q8_0.gguf": newer})
    found = look(hub, library)
    assert (found.state, found.num_bytes) == ("newer", len(newer))
    assert found.target is not None
    list(pull_target(found.target, library, endpoint=hub.endpoint))
    assert stored(library) == newer
    assert look(hub, library).state == "current"
    check_integrity(library)


def test_only_the_changed_small_file_of_a_directory_counts(
    hub: FakeHub, library: Library, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in write_mlx(tmp_path / "mlx").iterdir()}
    hub.add("org/mlx", files)
    run(hub, library, "org/mlx")
    files["tokenizer_config.json"] = b'{"chat_template": "new"}'
    hub.add("org/mlx", files)
    assert look(hub, library, "org/mlx").num_bytes == len(files["tokenizer_config.json"])


def test_another_name_of_a_pulled_model_is_updated_under_that_name(
    hub: FakeHub, library: Library, content: bytes
) -> None:
    run(hub, library)
    library.copy(ModelName.parse(NAME), ModelName.parse("mine"))
    hub.add(REPO, {"Tiny-Q8_0.gguf": model(seed=5)})
    found = look(hub, library, "mine")
    assert found.target is not None
    list(pull_target(found.target, library, endpoint=hub.endpoint))
    assert stored(library, "mine") == model(seed=5)
    assert stored(library) == content


def test_what_was_made_here_is_never_undone(hub: FakeHub, library: Library, content: bytes) -> None:
    assert content
    run(hub, library)
    create_model(NewModel(ModelName.parse("made"), base=NAME, system="x"), library)
    add_model(library, "own", {"m.gguf": b"GGUF"})
    hub.add(REPO, {"Tiny-Q8_0.gguf": model(seed=5)})
    assert look(hub, library, "made").state == "own"
    assert look(hub, library, "own").state == "own"


@pytest.mark.parametrize("change", ["repository", "file"])
def test_a_source_that_has_gone_is_told(
    hub: FakeHub, library: Library, content: bytes, change: str
) -> None:
    assert content
    run(hub, library)
    if change == "repository":
        hub.repos.clear()
    else:
        hub.add(REPO, {"Tiny-Q2_K.gguf": b"x"})
    found = look(hub, library)
    assert found.state == "unknown"
    assert REPO in found.problem
    assert replace(found, problem="").target is None

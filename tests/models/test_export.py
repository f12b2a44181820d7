"""Exported models are plain files that other programs, and we ourselves, take again."""

from pathlib import Path

import pytest

from models.create import NewModel, create_model
from models.errors import InvalidInput, StorageError
from models.export import export_model
from models.modelfile import parse_modelfile
from models.name import ModelName
from models.resolve import resolve, resolve_path
from models.store.library import Library
from tests.models import gguf_writer as w
from tests.models.making import add_model
from tests.models.safetensors_writer import write_mlx

GGUF = w.model_bytes(w.LLAMA, w.WEIGHTS)


def export(library: Library, name: str, directory: Path, *, link: bool = False) -> list[str]:
    manifest = library.get(ModelName.parse(name))
    written = export_model(manifest, library, directory, link=link)
    return [path.relative_to(directory).as_posix() for path in written]


def test_weights_and_directories_become_files(library: Library, tmp_path: Path) -> None:
    add_model(library, "a", {"a-Q8_0.gguf": GGUF})
    assert export(library, "a", tmp_path / "out") == ["a-Q8_0.gguf"]
    assert (tmp_path / "out" / "a-Q8_0.gguf").read_bytes() == GGUF
    assert not (tmp_path / "out" / "a-Q8_0.gguf").is_symlink()
    source = write_mlx(tmp_path / "mlx")
    add_model(library, "m", {path.name: path.read_bytes() for path in source.iterdir()})
    export(library, "m", tmp_path / "out-mlx")
    assert resolve_path(tmp_path / "out-mlx").format == "mlx"


def test_settings_go_into_a_modelfile_that_makes_the_same_again(
    library: Library, tmp_path: Path
) -> None:
    add_model(library, "base", {"m.gguf": GGUF})
    settings = {
        "system": 'Say "hi".\nTwice.',
        "template": "{{ messages }}",
        "parameters": {"seed": 1, "use_mmap": True, "stop": ["a b ", "c"]},
        "messages": [{"role": "user", "content": "hi"}],
    }
    create_model(NewModel(ModelName.parse("a"), base="base", **settings), library)  # type: ignore[arg-type]
    assert export(library, "a", tmp_path / "out") == ["m.gguf", "Modelfile"]
    found = parse_modelfile((tmp_path / "out" / "Modelfile").read_text())
    assert found.base == "./m.gguf"
    assert (found.system, found.template) == (settings["system"], settings["template"])
    assert found.parameters == settings["parameters"]
    assert list(found.messages) == settings["messages"]


def test_links_take_no_space_and_nothing_is_replaced(library: Library, tmp_path: Path) -> None:
    add_model(library, "a", {"m.gguf": GGUF})
    export(library, "a", tmp_path / "out", link=True)
    assert (tmp_path / "out" / "m.gguf").samefile(resolve("a", library).paths[0])
    assert export(library, "a", tmp_path / "out") == ["m.gguf"]
    (tmp_path / "out" / "m.gguf").unlink()
    (tmp_path / "out" / "m.gguf").write_bytes(b"mine")
    with pytest.raises(InvalidInput, match="another file is there"):
        export(library, "a", tmp_path / "out")
    assert (tmp_path / "out" / "m.gguf").read_bytes() == b"mine"


def test_a_copy_cut_short_leaves_nothing_under_the_name(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path, target: Path) -> None:
        target.write_bytes(GGUF[:10])
        raise OSError(28, "No space left on device")

    add_model(library, "a", {"m.gguf": GGUF})
    monkeypatch.setattr("models.export.shutil.copyfile", fail)
    monkeypatch.setattr("models.export.clone_file", lambda *_: False)
    with pytest.raises(StorageError, match="disk is full"):
        export(library, "a", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []

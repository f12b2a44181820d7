"""`draft` among options: whose it is, and what the worker is told."""

from pathlib import Path

import pytest

from app.daemon.ollama.catalog import Catalog
from app.daemon.ollama.requests import parse_chat
from app.daemon.workers.model_pool import make_load
from app.daemon.workers.model_worker import ModelSource
from app.settings import Settings
from models.errors import InvalidInput, NotFound
from models.files import ModelFiles
from models.parameters import parse_parameter
from models.store.library import Library


def chat(**options: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "x"}], "options": options}


def load_of(source: ModelSource, draft: str | None) -> tuple[str | None, bool]:
    load = make_load(source, Settings(draft=draft), "library")
    return load.draft, load.is_draft_needed


def test_a_modelfile_and_a_request_can_name_a_draft_model() -> None:
    assert parse_parameter("draft", "pocket") == "pocket"
    assert parse_chat(chat(draft="pocket")).draft == "pocket"
    assert parse_chat(chat()).draft is None
    with pytest.raises(InvalidInput, match='option "draft" must be of type string'):
        _ = parse_chat(chat(draft=3)).draft


def test_the_request_comes_before_the_model_before_the_daemon(
    tmp_path: Path, model_file: Path
) -> None:
    catalog = Catalog(Library(tmp_path))
    path = str(model_file)
    stored = ModelFiles("m", "gguf", (), None, "d", parameters={"draft": path})
    asked = catalog.find(path, None, path)
    assert asked.key != catalog.find(path).key, "a worker of its own"
    assert load_of(asked, "other") == (path, True)
    assert load_of(ModelSource("m", stored, draft=""), "other") == ("", True)
    assert load_of(catalog.find(path), "other") == ("other", False)
    with pytest.raises(NotFound, match="draft model 'nope' not found"):
        catalog.find(path, None, "nope")

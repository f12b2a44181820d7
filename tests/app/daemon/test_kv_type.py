"""How keys and values are kept: whose word counts, and what the worker is told."""

from pathlib import Path

import pytest

from app.daemon.ollama.catalog import Catalog
from app.daemon.ollama.requests import parse_chat
from app.daemon.workers.model_pool import make_load
from app.settings import Settings, read_settings
from models.errors import InvalidInput
from models.parameters import parse_parameter
from models.store.library import Library


def test_ollamas_variable_is_read_after_ours() -> None:
    assert read_settings({"OLLAMA_KV_CACHE_TYPE": "q8_0"}).kv_type == "q8_0"
    both = {"OLLAMA_KV_CACHE_TYPE": "q8_0", "LOCALLLM_KV_TYPE": "f16"}
    assert read_settings(both).kv_type == "f16"
    assert read_settings({"LOCALLLM_KV_TYPE": "auto"}).kv_type is None
    with pytest.raises(InvalidInput, match="OLLAMA_KV_CACHE_TYPE: 'q4_0'") as caught:
        read_settings({"OLLAMA_KV_CACHE_TYPE": "q4_0"})
    assert "f16, q8_0" in caught.value.hint


def test_a_request_comes_before_the_daemon_and_has_a_worker_of_its_own(
    tmp_path: Path, model_file: Path
) -> None:
    catalog, path = Catalog(Library(tmp_path)), str(model_file)
    body = {"model": path, "messages": [], "options": {"kv_type": "q8_0"}}
    asked = catalog.find(path, kv_type=parse_chat(body).kv_type)
    plain = catalog.find(path)
    assert asked.key != plain.key
    assert make_load(asked, Settings(kv_type="f16"), "library").kv_type == "q8_0"
    assert make_load(plain, Settings(kv_type="f16"), "library").kv_type == "f16"
    assert make_load(plain, Settings(), "library").kv_type is None


def test_a_modelfile_and_a_request_name_a_type_that_exists(
    tmp_path: Path, model_file: Path
) -> None:
    assert parse_parameter("kv_type", "q8_0") == "q8_0"
    with pytest.raises(InvalidInput, match="'q3_K'"):
        parse_parameter("kv_type", "q3_K")
    with pytest.raises(InvalidInput, match="'q3_K'"):
        Catalog(Library(tmp_path)).find(str(model_file), kv_type="q3_K")

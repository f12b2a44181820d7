"""A search shows what a pull would bring, and only what can be loaded."""

from pathlib import Path

import pytest

from models.hub.search import search_hub
from models.hub.snapshot import Hub
from tests.models.hub import FakeHub
from tests.models.pulling import model
from tests.models.safetensors_writer import write_mlx


@pytest.fixture
def filled(hub: FakeHub, tmp_path: Path) -> FakeHub:
    mlx = {path.name: path.read_bytes() for path in write_mlx(tmp_path / "mlx").iterdir()}
    hub.add("org/Tiny-GGUF", {"T-Q4_K_M.gguf": model(20_000), "T-Q8_0.gguf": model(40_000)})
    hub.add("org/Tiny-mlx", mlx)
    hub.add("org/Tiny-lora", {"adapters.safetensors": b"x", "adapter_config.json": b"{}"})
    hub.add("org/Tiny-mmproj", {"mmproj-F16.gguf": b"x"})
    hub.add("org/Tiny-secret", {"T-Q8_0.gguf": b"x"}, access="private")
    hub.add("org/other", {"T-Q8_0.gguf": b"x"})
    hub.repos["org/Tiny-mlx"].num_downloads = 9
    return hub


def test_loadable_repositories_are_found_the_most_downloaded_first(filled: FakeHub) -> None:
    found = search_hub(Hub(endpoint=filled.endpoint), "tiny")
    assert [(result.repo, result.format, result.label, result.fit) for result in found] == [
        ("org/Tiny-mlx", "mlx", "", "fits"),
        ("org/Tiny-GGUF", "gguf", "Q4_K_M", "fits"),
        ("org/Tiny-lora", "adapter", "LoRA", "fits"),
    ]
    assert found[1].weight_bytes == len(model(20_000))
    assert [result.num_downloads for result in found] == [9, 7, 7]


def test_a_machine_with_little_memory_is_told_so(
    filled: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.hub.search.total_memory_bytes", lambda: 10_000)
    (_, found, _) = search_hub(Hub(endpoint=filled.endpoint), "tiny")
    assert (found.label, found.fit) == ("Q4_K_M", "too large")


def test_no_more_are_shown_than_asked_for(filled: FakeHub) -> None:
    assert len(search_hub(Hub(endpoint=filled.endpoint), "tiny", max_models=1)) == 1
    assert search_hub(Hub(endpoint=filled.endpoint), "nothing like it") == []

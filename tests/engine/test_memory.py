"""A model is loaded with what the machine has, or refused with the numbers."""

from pathlib import Path

import pytest

from engine.loading import EngineOptions, load_model
from engine.request import Request, SamplingParams
from models.errors import Busy
from models.memory_plan import PROCESS_BYTES
from models.resolve import resolve_path
from scripts.make_synthetic_model import Shape, write_model

SHAPE = Shape(
    layers=2, width=256, ffn=512, heads=4, kv_heads=2, head_size=64, vocab=600, context=4096
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_model(tmp_path / "model.gguf", SHAPE, "Q4_K_M", seed=0)
    return tmp_path / "model.gguf"


def limits_with(
    path: Path, spare_bytes: int, monkeypatch: pytest.MonkeyPatch, context: int | None = None
) -> tuple[int, int]:
    """Tokens a step and a context, with so much memory beside the program."""
    memory_bytes = int((spare_bytes + PROCESS_BYTES) / 0.6)
    monkeypatch.setattr("engine.memory.total_memory_bytes", lambda: memory_bytes)
    limits = load_model(resolve_path(path), EngineOptions(max_context_tokens=context)).engine.limits
    return limits.max_step_tokens, limits.max_context_tokens


def test_little_memory_makes_steps_then_the_context_smaller(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits_with(path, 1 << 30, monkeypatch) == (512, 4096)
    assert limits_with(path, 12 << 20, monkeypatch) == (128, 4096)
    step_tokens, context_tokens = limits_with(path, 5 << 20, monkeypatch)
    assert step_tokens == 64
    assert 1024 <= context_tokens < 4096


def test_a_context_that_was_asked_for_is_not_shortened_but_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits_with(path, 12 << 20, monkeypatch, context=4000) == (128, 4000)
    with pytest.raises(Busy, match="a context of 4,000 tokens") as caught:
        limits_with(path, 5 << 20, monkeypatch, context=4000)
    assert "may be used" in caught.value.message


def test_eight_bits_come_before_a_refusal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory_bytes = int(((7 << 20) + PROCESS_BYTES) / 0.6)
    monkeypatch.setattr("engine.memory.total_memory_bytes", lambda: memory_bytes)
    files = resolve_path(path)
    model = load_model(files, EngineOptions(max_context_tokens=4000))
    assert model.info.kv_type == "q8_0"
    assert model.engine.limits.max_context_tokens == 4000
    prompt = tuple(range(5, 45))
    model.engine.add_request(Request("a", prompt, SamplingParams(max_tokens=3, ignore_eos=True)))
    tokens = []
    while model.engine.has_unfinished:
        tokens += [t for output in model.engine.step() for t in output.token_ids]
    assert len(tokens) == 3
    with pytest.raises(Busy):
        load_model(files, EngineOptions(max_context_tokens=4000, kv_type="f16"))


def test_an_asked_type_is_used_and_has_prefixes_of_its_own(path: Path, tmp_path: Path) -> None:
    files, kept = resolve_path(path), tmp_path / "prefixes"
    sizes = {}
    for kv_type in ("f16", "q8_0"):
        options = EngineOptions(
            max_context_tokens=512, kv_type=kv_type, kv_cache_bytes=1 << 20, prefix_directory=kept
        )
        model = load_model(files, options)
        assert model.info.kv_type == kv_type
        engine = model.engine
        sizes[kv_type] = engine.metrics.kv_bytes / engine._pool.num_blocks
    assert sizes["q8_0"] == sizes["f16"] * 17 / 32
    assert len(list(kept.iterdir())) == 2


def test_heads_that_cannot_be_kept_in_eight_bits_are_kept_in_sixteen(tmp_path: Path) -> None:
    odd = Shape(
        layers=1, width=288, ffn=512, heads=4, kv_heads=2, head_size=72, vocab=600, context=512
    )
    write_model(tmp_path / "odd.gguf", odd, "Q4_K_M", seed=0)
    files = resolve_path(tmp_path / "odd.gguf")
    assert load_model(files, EngineOptions(kv_type="q8_0")).info.kv_type == "f16"

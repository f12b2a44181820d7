"""A draft model beside a target: the same text, or a refusal that names the first other token."""

import logging
from pathlib import Path

import pytest

from engine.draft_loading import check_same_tokens
from engine.loading import EngineOptions, LoadedModel, load_model
from engine.request import Request, SamplingParams
from models.errors import InvalidInput
from models.resolve import resolve_path
from scripts.make_synthetic_model import Shape, write_model
from tests.engine.vocabularies import bpe_values, make_tokenizer

SMALL = {"width": 256, "ffn": 512, "heads": 4, "kv_heads": 2, "head_size": 64, "context": 256}


def write(path: Path, layers: int, seed: int, vocab: int = 600) -> Path:
    write_model(path, Shape(layers=layers, vocab=vocab, **SMALL), "Q8_0", seed=seed)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return write(tmp_path / "target.gguf", layers=2, seed=0)


def texts(model: LoadedModel) -> tuple[list[int], int]:
    sampling = SamplingParams(temperature=0.8, seed=3, max_tokens=40, ignore_eos=True)
    model.engine.add_request(Request("a", (5, 6, 7, 8), sampling))
    tokens, num_drafts = list[int](), 0
    while model.engine.has_unfinished:
        for output in model.engine.step():
            tokens += output.token_ids
            num_drafts += output.stats.num_draft_tokens if output.stats else 0
        model.engine.check_integrity()
    return tokens, num_drafts


def test_a_draft_model_of_the_same_tokens_leaves_the_text_as_it_is(
    target: Path, tmp_path: Path
) -> None:
    draft = resolve_path(write(tmp_path / "draft.gguf", layers=1, seed=4))
    plain = load_model(resolve_path(target), EngineOptions(max_draft_tokens=0))
    drafted = load_model(resolve_path(target), EngineOptions(draft=draft))
    assert drafted.engine.metrics.kv_bytes > plain.engine.metrics.kv_bytes
    expected, _ = texts(plain)
    found, num_drafts = texts(drafted)
    assert found == expected
    assert num_drafts > 0


def test_other_tokens_are_refused_or_left_out_where_nobody_asked(
    target: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = resolve_path(write(tmp_path / "other.gguf", layers=1, seed=4, vocab=500))
    with pytest.raises(InvalidInput, match=r"other tokens: \d+ is b'.*' there, b'.*' here"):
        load_model(resolve_path(target), EngineOptions(draft=other))
    with caplog.at_level(logging.WARNING):
        load_model(resolve_path(target), EngineOptions(draft=other, is_draft_needed=False))
    assert "other does not draft for it" in caplog.text


def test_a_vocabulary_may_be_longer_at_its_end() -> None:
    short = make_tokenizer(bpe_values(["a b"]))
    long = make_tokenizer(bpe_values(["a b", "ab c"]))
    with pytest.raises(InvalidInput):
        check_same_tokens(short, long)
    check_same_tokens(short, short)

import pytest

from engine.text.fill_in_middle import encode_infill
from engine.tokenizer import Tokenizer
from tests.engine.vocabularies import bpe_values, make_tokenizer, spm_values

QWEN = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
CODESTRAL = ["[PREFIX]", "[SUFFIX]"]
ENDS = ["<|start|>s", "<|end|>e"]


def text_of(tokenizer: Tokenizer, token_ids: list[int]) -> str:
    return b"".join(map(tokenizer.token_bytes, token_ids)).decode()


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (QWEN, "<|fim_prefix|>def f(<|fim_suffix|>): x<|fim_middle|>"),
        (
            ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
            "<fim_prefix>def f(<fim_suffix>): x<fim_middle>",
        ),
        (
            ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],  # noqa: RUF001
            "<｜fim▁begin｜>def f(<｜fim▁hole｜>): x<｜fim▁end｜>",  # noqa: RUF001
        ),
        (CODESTRAL, "[SUFFIX]): x[PREFIX]def f("),
    ],
)
def test_a_gap_is_marked_as_the_vocabulary_has_it(marks: list[str], expected: str) -> None:
    tokenizer = make_tokenizer(bpe_values(["t r"], special=[*marks, *ENDS]))
    token_ids = encode_infill(tokenizer, "def f(", "): x")
    assert token_ids is not None
    assert text_of(tokenizer, token_ids) == expected


def test_a_start_token_comes_first_where_the_model_wants_one() -> None:
    tokenizer = make_tokenizer(bpe_values(["t r"], special=[*QWEN, *ENDS], add_bos_token=True))
    token_ids = encode_infill(tokenizer, "a", "b")
    assert token_ids is not None
    assert token_ids[:2] == [tokenizer.bos_token_id, tokenizer.token_id("<|fim_prefix|>")]


def test_a_mark_in_the_text_is_text() -> None:
    tokenizer = make_tokenizer(bpe_values(["t r"], special=[*QWEN, *ENDS]))
    token_ids = encode_infill(tokenizer, "<|fim_middle|>", "x")
    assert token_ids is not None
    assert token_ids.count(tokenizer.token_id("<|fim_middle|>")) == 1


def test_a_vocabulary_without_marks_cannot_fill_a_gap() -> None:
    assert encode_infill(make_tokenizer(spm_values({"a": 0.0})), "a", "b") is None

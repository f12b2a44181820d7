"""Vocabularies between GGUF metadata and tokenizer.json: the same ids on either side."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from vocabularies import bpe_values, make_tokenizer, spm_values

from engine.conversion.sentencepiece import read_scores
from engine.conversion.vocabulary_files import tokenizer_files
from engine.conversion.vocabulary_metadata import (
    CANDIDATES,
    SAMPLE,
    detect_pretokenizer,
    vocabulary_metadata,
)
from engine.network.gguf_values import Metadata
from engine.tokenizer import load_tokenizer_directory
from engine.tokenizer.gguf import tokenizer_from_metadata
from engine.tokenizer.pretokenizers import find_pretokenizer
from models.errors import InvalidModelFile, Unsupported

BPE = bpe_values(["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "1 2", "12 3"])
SPM = spm_values({"▁": -9.0, "h": -5.0, "e": -5.1, "l": -5.2, "o": -5.3, "he": -2.0, "ll": -2.5,
                  "hell": -1.5, "hello": -1.0, "▁hello": -0.5, "▁he": -1.7})  # fmt: skip
TEXTS = [
    "hello world",
    " hello  hello\n",
    "123 1234",
    "héllo 🙂",
    "<|start|>shello<|end|>e",
    "<s>hello</s>",
    "",
    SAMPLE,
]


def write_directory(folder: Path, values: dict[str, Any]) -> Path:
    prefixed = {f"tokenizer.ggml.{key}": value for key, value in values.items()}
    folder.mkdir()
    for file in tokenizer_files(Metadata({"general.architecture": "llama", **prefixed})):
        (folder / file.name).write_bytes(b"".join(file.pieces()))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "values",
    [
        BPE,
        {**BPE, "pre": "llama-bpe"},
        {**BPE, "pre": "qwen2", "add_bos_token": True, "add_eos_token": True},
        {**BPE, "pre": "deepseek-v3"},
        {**BPE, "pre": "starcoder"},
        SPM,
        {**SPM, "add_space_prefix": False},
        {**SPM, "add_bos_token": False},
    ],
    ids=lambda values: f"{values['model']}-{values.get('pre', '')}",
)
def test_files_and_metadata_give_the_same_ids(values: dict[str, Any], tmp_path: Path) -> None:
    original = make_tokenizer(values)
    folder = write_directory(tmp_path / "t", values)
    from_files = load_tokenizer_directory(folder)
    back = vocabulary_metadata(folder, {"vocab_size": len(values["tokens"])})
    returned = tokenizer_from_metadata(Metadata({"general.architecture": "llama", **back}))
    for text in TEXTS:
        ids = original.encode(text)
        assert from_files.encode(text) == ids, text
        assert returned.encode(text) == ids, text
        assert from_files.decode(ids) == original.decode(ids)
    assert returned.bos_token_id == original.bos_token_id
    assert returned.eos_token_ids == original.eos_token_ids


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_pretokenizer_is_known_by_how_it_cuts(name: str) -> None:
    words = find_pretokenizer(name)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in words.patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found = detect_pretokenizer(tokenizer, ignores_merges=words.whole_words_first)
    assert find_pretokenizer(found).patterns == words.patterns


def test_the_usual_way_to_write_gpt_2_is_known_too() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert detect_pretokenizer(tokenizer) == "gpt-2"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), tokenizer.pre_tokenizer]
    )
    assert detect_pretokenizer(tokenizer) == "starcoder"


def test_words_cut_in_an_unknown_way_are_refused() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("o"), "isolated")
    with pytest.raises(Unsupported, match="cuts words"):
        detect_pretokenizer(tokenizer)


def test_templates_go_over(tmp_path: Path) -> None:
    template = "{{ messages[0].content }}"
    prefixed = {f"tokenizer.ggml.{key}": value for key, value in BPE.items()}
    prefixed |= {"general.architecture": "llama", "tokenizer.chat_template": template}
    for file in tokenizer_files(Metadata(prefixed)):
        (tmp_path / file.name).write_bytes(b"".join(file.pieces()))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["chat_template"] == template
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    back = vocabulary_metadata(tmp_path, {"vocab_size": len(BPE["tokens"])})
    assert back["tokenizer.chat_template"] == template
    assert back["tokenizer.chat_template.tool_use"] == "tools"


def sentence_piece(text: str, score: float) -> bytes:
    piece = text.encode()
    message = b"\x0a" + bytes([len(piece)]) + piece + b"\x15" + struct.pack("<f", score)
    message += b"\x18\x01"  # its type, a number
    return b"\x0a" + bytes([len(message)]) + message


def test_scores_come_from_a_sentencepiece_model(tmp_path: Path) -> None:
    raw = sentence_piece("▁he", -1.5) + sentence_piece("llo", -2.5) + b"\x12\x02\x08\x01"
    assert read_scores(raw) == {"▁he": -1.5, "llo": -2.5}
    with pytest.raises(InvalidModelFile):
        read_scores(b"\x0a\xff")
    folder = write_directory(tmp_path / "t", SPM)
    (folder / "tokenizer.model").write_bytes(sentence_piece("hello", -42.0))
    values = vocabulary_metadata(folder, {"vocab_size": len(SPM["tokens"])})
    texts, scores = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.scores"]
    assert isinstance(texts, list)
    assert scores[texts.index("hello")] == -42  # type: ignore[index]


def test_rows_that_no_token_has_become_padding(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "t", BPE)
    values = vocabulary_metadata(folder, {"vocab_size": len(BPE["tokens"]) + 2})
    texts = values["tokenizer.ggml.tokens"]
    assert isinstance(texts, list)
    assert texts[-1] == f"[PAD{len(BPE['tokens']) + 1}]"

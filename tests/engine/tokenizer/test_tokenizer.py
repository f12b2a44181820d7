import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Library

from engine.network.gguf_values import Metadata
from engine.text.detokenizer import Detokenizer
from engine.tokenizer import Tokenizer, load_tokenizer_directory
from engine.tokenizer import pretokenizers as known
from engine.tokenizer.gguf import tokenizer_from_metadata
from engine.tokenizer.pretokenizers import find_pretokenizer
from models.errors import InvalidModelFile, NotFound, Unsupported
from tests.engine.vocabularies import (
    CONTROL,
    NORMAL,
    USER_DEFINED,
    bpe_values,
    make_tokenizer,
    spm_values,
)

MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġwor ld", "1 2"]
PIECES = {
    "▁": -1.0,
    "▁▁": -2.0,
    "h": -20.0,
    "e": -20.0,
    "l": -20.0,
    "o": -20.0,
    "he": -6.0,
    "ll": -7.0,
    "hell": -8.0,
    "hello": -9.0,
    "▁hello": -5.0,
    "lo": -3.0,
}


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return make_tokenizer(bpe_values(MERGES))


@pytest.fixture(scope="module")
def spm() -> Tokenizer:
    return make_tokenizer(spm_values(PIECES))


def texts(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.token_bytes(index).decode() for index in ids]


def test_byte_pairs_are_merged_in_order_of_rank(bpe: Tokenizer) -> None:
    ids = bpe.encode("hello world", add_special=False)
    assert texts(bpe, ids) == ["hello", " world"]


def test_sentence_pieces_are_merged_by_score_not_by_length(spm: Tokenizer) -> None:
    ids = spm.encode("hello", add_special=False, continues=True)
    assert texts(spm, ids) == ["he", "l", "lo"]


def test_a_space_goes_in_front_at_the_start_and_after_a_special_token(spm: Tokenizer) -> None:
    ids = spm.encode("h</s>h", add_special=False)
    assert texts(spm, ids) == [" ", "h", "</s>", " ", "h"]


def test_the_space_in_front_can_be_turned_off() -> None:
    tokenizer = make_tokenizer(spm_values(PIECES, add_space_prefix=False))
    assert texts(tokenizer, tokenizer.encode("h", add_special=False)) == ["h"]


def test_characters_outside_the_vocabulary_become_bytes(spm: Tokenizer) -> None:
    ids = spm.encode("é", add_special=False, continues=True)
    assert [spm.token_bytes(index) for index in ids] == [b"\xc3", b"\xa9"]


def test_start_and_end_tokens_are_added_as_the_file_says() -> None:
    assert make_tokenizer(spm_values(PIECES)).encode("")[:1] == [1]
    both = make_tokenizer(bpe_values(MERGES, add_bos_token=True, add_eos_token=True))
    none = make_tokenizer(bpe_values(MERGES))
    assert both.encode("he") == [both.bos_token_id, *none.encode("he"), max(both.eos_token_ids)]


def test_a_start_token_in_the_text_is_not_doubled(spm: Tokenizer) -> None:
    assert spm.encode("<s>h") == spm.encode("<s>h", add_special=False)


def test_control_tokens_are_parsed_only_when_asked_for(bpe: Tokenizer) -> None:
    text = "he<|end|>ello"
    parsed = bpe.encode(text, add_special=False)
    literal = bpe.encode(text, add_special=False, parse_special=False)
    assert max(bpe.eos_token_ids) in parsed
    assert max(bpe.eos_token_ids) not in literal
    assert b"".join(map(bpe.token_bytes, literal)).decode() == text


def test_added_tokens_that_are_text_are_always_found_the_longest_first() -> None:
    values = bpe_values(MERGES, special=["<a>", "<a><a>", "<s>", "</s>"])
    values["token_type"][-4:-2] = USER_DEFINED
    tokenizer = make_tokenizer(values)
    ids = tokenizer.encode("<a><a><a>", add_special=False, parse_special=False)
    assert texts(tokenizer, ids) == ["<a><a>", "<a>"]
    assert not any(map(tokenizer.is_special, ids))


def test_phi3_special_tokens_swallow_white_space_after_them() -> None:
    values = spm_values(PIECES)
    values["tokens"] += ["<|user|>"]
    values["scores"] = np.append(values["scores"], np.float32(0))
    values["token_type"] = np.append(values["token_type"], np.int32(CONTROL))
    plain = make_tokenizer(values)
    values["general.name"] = "Phi-3-mini"
    assert len(plain.encode("<|user|> \n h", add_special=False)) > 3
    named = {f"tokenizer.ggml.{key}": value for key, value in values.items()}
    phi = tokenizer_from_metadata(Metadata({**named, "general.name": "Phi-3-mini"}))
    assert texts(phi, phi.encode("<|user|> \n h", add_special=False)) == ["<|user|>", " ", "h"]


def test_every_token_that_ends_an_answer_is_known() -> None:
    values = bpe_values(MERGES, special=["<|im_end|>", "<|eot_id|>", "<s>", "</s>"])
    tokenizer = make_tokenizer(values)
    assert {tokenizer.token_bytes(index) for index in tokenizer.eos_token_ids} == {
        b"<|im_end|>",
        b"<|eot_id|>",
        b"</s>",
    }


def test_harmony_messages_may_end_without_ending_the_answer() -> None:
    names = ["<|end|>", "<|call|>", "<|channel|>", "<|message|>", "<|start|>", "<|return|>"]
    tokenizer = make_tokenizer(bpe_values(MERGES, special=names))
    ends = {tokenizer.token_bytes(index) for index in tokenizer.eos_token_ids}
    assert ends == {b"<|return|>", b"<|call|>"}
    assert not any(tokenizer.is_special(tokenizer.token_id(name) or 0) for name in names[2:5])


def test_llama3_takes_a_whole_word_that_is_a_token_whatever_the_merges_say() -> None:
    values = bpe_values(MERGES, pre="llama-bpe", special=["abc", "<s>", "</s>"])
    values["token_type"][-3] = NORMAL
    tokenizer = make_tokenizer(values)
    assert texts(tokenizer, tokenizer.encode("abc abc", add_special=False)) == [
        "abc",
        " ",
        "a",
        "b",
        "c",
    ]


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        ("gpt-2", ["12", "12", "1"]),
        ("llama-bpe", ["12", "1", "2", "1"]),
        ("qwen2", ["1", "2", "1", "2", "1"]),
    ],
)
def test_the_pre_tokenizer_decides_how_digits_are_cut(pre: str, expected: list[str]) -> None:
    tokenizer = make_tokenizer(bpe_values(["1 2"], pre=pre, add_bos_token=False))
    assert texts(tokenizer, tokenizer.encode("12121")) == expected


def test_every_pre_tokenizer_keeps_every_byte() -> None:
    text = "Hello  WORLD's 1234567\r\n\n\té 中文テスト 한국어 ١٢٣ naïve e\u0301 🙂‍↔️ \u00a0x "
    names = known._PATTERNS.keys() | known._SAME_PATTERN_AS.keys()
    assert len(names) > 80
    for name in sorted(names):
        if find_pretokenizer(name).raw_utf8:
            continue
        tokenizer = make_tokenizer(bpe_values(MERGES, pre=name))
        ids = tokenizer.encode(text, add_special=False)
        assert b"".join(map(tokenizer.token_bytes, ids)).decode() == text, name


def test_gemma4_merges_utf8_and_falls_back_to_bytes() -> None:
    values = spm_values(dict.fromkeys(["▁", "a", "b", "▁a", "▁ab"], 0.0))
    values |= {"model": "gemma4", "merges": ["▁ a", "▁a b"]}
    tokenizer = make_tokenizer(values)
    ids = tokenizer.encode(" ab é\n", add_special=False)
    assert [tokenizer.token_bytes(index) for index in ids] == [
        b" ab",
        b" ",
        b"\xc3",
        b"\xa9",
        b"\n",
    ]


def test_word_pieces_are_the_longest_first_and_unknown_words_one_token() -> None:
    words = ["[UNK]", "[CLS]", "[SEP]", "▁un", "able", "▁hello", "▁,"]
    tokenizer = make_tokenizer(
        {
            "model": "bert",
            "tokens": words,
            "cls_token_id": 1,
            "seperator_token_id": 2,
            "unknown_token_id": 0,
        }
    )
    assert tokenizer.encode("Unable, HÉLLO? unx") == [1, 3, 4, 6, 5, 0, 0, 2]


def test_unigrams_have_the_best_sum_of_scores() -> None:
    pieces = {"▁": -4.0, "a": -3.0, "b": -3.0, "ab": -7.0, "▁a": -2.0, "▁ab": -5.5}
    values = {
        "model": "t5",
        "tokens": ["<pad>", "</s>", "<unk>", *pieces],
        "scores": np.array([0.0, 0, 0, *pieces.values()], np.float32),
        "token_type": np.array([3, 3, 2, *[1] * len(pieces)], np.int32),
        "add_space_prefix": True,
        "remove_extra_whitespaces": True,
    }
    tokenizer = make_tokenizer(values)
    assert texts(tokenizer, tokenizer.encode("ab  a", add_special=False)) == [" a", "b", " a"]
    assert tokenizer.encode("zz")[-2:] == [2, 1]


@given(st.text(max_size=40))
def test_what_is_encoded_comes_back(text: str) -> None:
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for tokenizer in TOKENIZERS:
        ids = tokenizer.encode(text, add_special=False, parse_special=False)
        assert tokenizer.decode(ids) == clean


@given(st.binary(max_size=40))
def test_any_bytes_are_streamed_as_their_text_without_broken_characters(data: bytes) -> None:
    tokenizer = TOKENIZERS[0]
    by_bytes = {tokenizer.token_bytes(index): index for index in range(256)}
    ids = [by_bytes[bytes([byte])] for byte in data]
    stream = Detokenizer(tokenizer)
    parts = [stream.add(index) for index in ids]
    assert "".join(parts) + stream.flush() == data.decode(errors="replace")


def test_a_character_is_shown_once_it_is_whole(bpe: Tokenizer) -> None:
    stream = Detokenizer(bpe)
    ids = bpe.encode("é🙂", add_special=False)
    assert [stream.add(index) for index in ids] == ["", "é", "", "", "", "🙂"]


def test_special_tokens_are_silent_unless_they_are_to_be_shown(bpe: Tokenizer) -> None:
    end = max(bpe.eos_token_ids)
    assert Detokenizer(bpe).add(end) == ""
    assert Detokenizer(bpe, frozenset({end})).add(end) == "<|end|>e"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "nonsense"}, Unsupported),
        ({"pre": "nonsense"}, Unsupported),
        ({"tokens": []}, InvalidModelFile),
        ({"tokens": ["a", "a"]}, InvalidModelFile),
        ({"merges": []}, InvalidModelFile),
        ({"token_type": np.array([1], np.int32)}, InvalidModelFile),
        ({"tokens": "text"}, InvalidModelFile),
        ({"bos_token_id": "text"}, InvalidModelFile),
    ],
)
def test_a_broken_vocabulary_is_refused_by_name(change: dict[str, Any], error: type) -> None:
    with pytest.raises(error) as caught:
        make_tokenizer(bpe_values(MERGES) | change)
    assert "'" in str(caught.value)


def test_an_impossible_merge_is_left_out() -> None:
    tokenizer = make_tokenizer(bpe_values(MERGES) | {"merges": [*MERGES, "x nowhere", "bad"]})
    assert texts(tokenizer, tokenizer.encode("hello", add_special=False)) == ["hello"]


def write_directory(directory: Path, *, byte_level: bool = True) -> None:
    values = bpe_values(MERGES, special=[])
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in MERGES)]
    vocabulary = {text: index for index, text in enumerate(values["tokens"])}
    library = Library(models.BPE(vocab=vocabulary, merges=pairs))
    if byte_level:
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        library.decoder = decoders.ByteLevel()
    library.add_special_tokens([AddedToken("<|im_end|>"), AddedToken("<bos>")])
    library.add_tokens([AddedToken("<think>")])
    library.save(str(directory / "tokenizer.json"))
    settings = {"eos_token": {"content": "<|im_end|>"}, "bos_token": "<bos>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 5]}))


def test_a_directory_has_its_tokens_bytes_and_ends(tmp_path: Path, bpe: Tokenizer) -> None:
    write_directory(tmp_path)
    tokenizer = load_tokenizer_directory(tmp_path)
    text = "hello world é"
    ids = tokenizer.encode(text)
    assert ids == bpe.encode(text, add_special=False)
    assert b"".join(map(tokenizer.token_bytes, ids)).decode() == text
    assert tokenizer.decode(ids) == text
    end = tokenizer.token_id("<|im_end|>")
    assert tokenizer.eos_token_ids == {3, 5, end}
    assert tokenizer.is_special(end or 0)
    assert not tokenizer.is_special(tokenizer.token_id("<think>") or 0)
    assert tokenizer.encode("<|im_end|>") == [end]
    assert len(tokenizer.encode("<|im_end|>", parse_special=False)) > 1


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_tokenizer_directory(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidModelFile):
        load_tokenizer_directory(tmp_path)


TOKENIZERS = [make_tokenizer(bpe_values(MERGES)), make_tokenizer(spm_values(PIECES))]


@pytest.mark.parametrize(
    ("pre", "text", "words"),
    [
        ("afmoe", "a  12345", ["a", " ", " ", "12", "345"]),
        ("tiny_aya", "x  5", ["x", " ", " ", "5"]),
        ("kimi-k2", "fooBar's 中文", ["fooBar's", " ", "中文"]),
        ("deepseek-llm", "é\u00a0\u3000ก", ["é", "\u00a0\u3000", "ก"]),
    ],
)
def test_words_are_cut_where_llama_cpp_cuts_them(pre: str, text: str, words: list[str]) -> None:
    pieces = [text]
    for pattern in find_pretokenizer(pre).patterns:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        pieces = [word for piece in pieces for word, _ in split.pre_tokenize_str(piece)]
    assert pieces == words


def test_word_pieces_know_a_syllable_by_its_first_sound_and_drop_private_characters() -> None:
    texts_ = ["[UNK]", "[CLS]", "[SEP]", "▁\u1100", "▁e", "x"]
    values = {
        "model": "bert",
        "tokens": texts_,
        "token_type": np.array([CONTROL] * 3 + [NORMAL] * 3, np.int32),
        "unknown_token_id": 0,
        "cls_token_id": 1,
        "seperator_token_id": 2,
    }
    tokenizer = make_tokenizer(values)
    assert texts(tokenizer, tokenizer.encode("국 É\ue000x", add_special=False)) == [
        " \u1100",
        " e",
        "x",
    ]

"""A damaged or hostile vocabulary is refused by name, or read so that text goes in and out."""

from typing import Any

import numpy as np
import pytest

from models.errors import InvalidModelFile, Unsupported
from tests.engine.vocabularies import BYTE, bpe_values, make_tokenizer, spm_values

MERGES = ["h e", "l l"]
PIECES = {"▁": -1.0, "h": -2.0, "e": -2.0, "he": -1.5}
SPM, BPE = spm_values(PIECES), bpe_values(MERGES)
WPM = SPM | {"model": "bert"}
UGM = SPM | {"model": "t5"}

REFUSED: dict[str, dict[str, Any]] = {
    "model missing": {key: value for key, value in SPM.items() if key != "model"},
    "model unknown": SPM | {"model": "tiktoken"},
    "model a number": SPM | {"model": 7},
    "pre unknown": BPE | {"pre": "never-heard-of"},
    "pre a list": BPE | {"pre": ["gpt-2"]},
    "no tokens": SPM | {"tokens": []},
    "tokens are numbers": SPM | {"tokens": np.arange(4)},
    "tokens in lists": SPM | {"tokens": [["a"], ["b"]]},
    "tokens a text": SPM | {"tokens": "abc"},
    "the same token twice": SPM | {"tokens": [*SPM["tokens"][:-1], "<s>"]},
    "fewer scores than tokens": SPM | {"scores": SPM["scores"][:-1]},
    "scores are texts": SPM | {"scores": ["1"] * len(SPM["tokens"])},
    "scores that are no numbers": SPM | {"scores": SPM["scores"] * np.float32("nan")},
    "scores a number": SPM | {"scores": 1.0},
    "fewer types than tokens": BPE | {"token_type": BPE["token_type"][:5]},
    "types are texts": BPE | {"token_type": ["1"] * len(BPE["tokens"])},
    "no merges": BPE | {"merges": []},
    "merges missing": {key: value for key, value in BPE.items() if key != "merges"},
    "merges are numbers": BPE | {"merges": np.arange(3)},
    "start token a text": BPE | {"bos_token_id": "<s>"},
    "start token a fraction": BPE | {"bos_token_id": 1.5},
    "end token a list": BPE | {"eos_token_id": [1, 2]},
    "add_bos a number": SPM | {"add_bos_token": 1},
    "space prefix a text": SPM | {"add_space_prefix": "yes"},
    "lowercase a number": WPM | {"normalizer.lowercase": 1},
    "a byte token that is no byte": SPM
    | {"tokens": [*SPM["tokens"][:3], "<0xZZ>", *SPM["tokens"][4:]]},
    "charsmap cut short": UGM | {"precompiled_charsmap": np.array([255, 255, 0, 0, 1], np.uint8)},
    "charsmap without an end": UGM
    | {"precompiled_charsmap": np.array([4, 0, 0, 0, 1, 1, 1, 1, 7], np.uint8)},
    "charsmap a text": UGM | {"precompiled_charsmap": "abc"},
}
TAKEN: dict[str, dict[str, Any]] = {
    "start token beyond the end": BPE | {"bos_token_id": 2**31 - 1},
    "end token below zero": BPE | {"eos_token_id": -5},
    "merges without a space": BPE | {"merges": [*MERGES, "nospace", "", " ", "  "]},
    "merges of unknown tokens": BPE | {"merges": [*MERGES, "not there", "\0 \0"]},
    "the same merge twice": BPE | {"merges": MERGES * 3},
    "empty tokens": SPM | {"tokens": [*SPM["tokens"][:-4], "", *SPM["tokens"][-3:]]},
    "types that nobody knows": BPE | {"token_type": np.full(len(BPE["tokens"]), 77, np.int32)},
    "more scores than tokens": SPM | {"scores": np.zeros(9999, np.float32)},
    "infinite scores": SPM | {"scores": np.full(len(SPM["tokens"]), np.inf, np.float32)},
    "every token special": SPM | {"token_type": np.full(len(SPM["tokens"]), 3, np.int32)},
    "unigrams without a table": UGM | {"precompiled_charsmap": np.zeros(0, np.uint8)},
    "a table that points outside": UGM
    | {"precompiled_charsmap": np.array([4, 0, 0, 0, 255, 255, 255, 255, 0], np.uint8)},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_vocabulary_is_refused_by_name(case: str) -> None:
    with pytest.raises((InvalidModelFile, Unsupported)) as caught:
        make_tokenizer(REFUSED[case])
    assert "'" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("case", TAKEN)
def test_an_odd_vocabulary_still_takes_and_gives_any_text(case: str) -> None:
    tokenizer = make_tokenizer(TAKEN[case])
    ids = tokenizer.encode("he \0 \u0301 👩‍👩‍👧 <s> \ud800 end")
    assert all(0 <= token_id < tokenizer.vocab_size for token_id in ids)
    assert isinstance(tokenizer.decode(range(tokenizer.vocab_size)), str)


def test_byte_tokens_are_the_bytes_they_name() -> None:
    tokenizer = make_tokenizer(SPM)
    values = np.array(SPM["token_type"])
    assert [tokenizer.token_bytes(int(index)) for index in np.flatnonzero(values == BYTE)] == [
        bytes([value]) for value in range(256)
    ]

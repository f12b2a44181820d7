import json
import random
from typing import Any

import numpy as np
import pytest

from engine.request import Grammar, GrammarKind
from engine.text.grammar import GrammarMatcher, GrammarVocabulary, make_grammar_vocabulary
from engine.tokenizer import Tokenizer
from models.errors import InvalidInput
from tests.engine.vocabularies import bpe_values, make_tokenizer, spm_values

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "kind": {"enum": ["cat", "dog"]},
            "legs": {"type": "integer", "minimum": 0, "maximum": 9},
            "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
        },
        "required": ["name", "kind", "legs"],
        "additionalProperties": False,
    }
)
MERGES = ['{ "', '" :', "t r", "tr u", "tru e", "n a", "na m", "nam e", "Ġ Ġ"]


def pieces() -> dict[str, float]:
    texts = ["▁", '{"', "▁{", "true", "name", "▁▁", *'{}[]",:.0123456789abcdefghijklmnopqrstuvwxyz']
    return {text: -float(index) for index, text in enumerate(texts)}


TOKENIZERS = {
    "bpe": make_tokenizer(bpe_values(MERGES)),
    "spm": make_tokenizer(spm_values(pieces())),
}
VOCABULARIES = {name: make_grammar_vocabulary(tokenizer) for name, tokenizer in TOKENIZERS.items()}


@pytest.fixture(params=TOKENIZERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def matcher(name: str, kind: GrammarKind, text: str = "") -> GrammarMatcher:
    return GrammarMatcher(Grammar(kind, text), VOCABULARIES[name])


def accepts(found: GrammarMatcher, tokenizer: Tokenizer, text: str) -> bool:
    """Whether every token of `text` is allowed in turn."""
    token_ids = tokenizer.encode(text, add_special=False, parse_special=False, continues=True)
    for token_id in token_ids:
        if not found.allowed()[token_id]:
            return False
        found.accept(token_id)
    return True


def write_at_random(name: str, found: GrammarMatcher, seed: int) -> str:
    """Follow random allowed tokens to the end."""
    tokenizer, chooser = TOKENIZERS[name], random.Random(seed)
    data = b""
    for _ in range(2000):
        if found.is_finished:
            break
        allowed = np.flatnonzero(found.allowed()).tolist()
        ends = tokenizer.eos_token_ids & set(allowed)
        token_id = min(ends) if ends else chooser.choice(allowed)
        found.accept(token_id)
        if ends:
            break
        data += tokenizer.token_bytes(token_id)
    return data.decode()


@pytest.mark.parametrize("seed", range(5))
def test_random_choices_inside_a_schema_satisfy_it(name: str, seed: int) -> None:
    value: dict[str, Any] = json.loads(
        write_at_random(name, matcher(name, "json_schema", SCHEMA), seed)
    )
    assert value["kind"] in ("cat", "dog")
    assert 0 <= value["legs"] <= 9
    assert isinstance(value["name"], str)
    assert value.keys() <= {"name", "kind", "legs", "tags"}


def test_json_is_one_object_and_then_the_end(name: str) -> None:
    found = matcher(name, "json")
    assert accepts(found, TOKENIZERS[name], '{"name": [1, true, {"b": "x"}]}')
    assert found.is_finished
    assert not accepts(matcher(name, "json"), TOKENIZERS[name], "[1]")
    assert not accepts(matcher(name, "json"), TOKENIZERS[name], "hello")


def test_white_space_is_bounded(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert accepts(matcher(name, "json"), tokenizer, '{\n    "a": 1,\n    "b": 2\n}')
    assert not accepts(matcher(name, "json"), tokenizer, "{" + " " * 40)
    assert not accepts(matcher(name, "json"), tokenizer, "{\n\n\n\n")


def test_a_regular_expression_holds_and_the_end_is_allowed_where_it_may_end(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    found = matcher(name, "regex", "[a-c]+(true)?")
    assert not set(np.flatnonzero(found.allowed())) & tokenizer.eos_token_ids
    assert accepts(found, tokenizer, "ab")
    assert set(np.flatnonzero(found.allowed())) >= tokenizer.eos_token_ids
    assert not accepts(found, tokenizer, "z")


def test_a_lark_grammar_holds(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    text = 'start: "a" | "b" NUMBER\nNUMBER: /[0-9]+/'
    assert accepts(matcher(name, "lark", text), tokenizer, "b12")
    assert not accepts(matcher(name, "lark", text), tokenizer, "c")


def test_accepted_tokens_can_be_taken_back() -> None:
    tokenizer = TOKENIZERS["bpe"]
    found = matcher("bpe", "regex", "abc|xyz")
    before = found.allowed()
    assert accepts(found, tokenizer, "ab")
    found.rollback(2)
    assert np.array_equal(found.allowed(), before)
    assert accepts(found, tokenizer, "xyz")


def test_the_mask_is_as_wide_as_the_networks_scores() -> None:
    tokenizer = TOKENIZERS["bpe"]
    wide = make_grammar_vocabulary(tokenizer, tokenizer.vocab_size + 100)
    found = GrammarMatcher(Grammar("json"), wide)
    row = np.empty(tokenizer.vocab_size + 100, np.bool_)
    found.fill_mask(row)
    assert not row[tokenizer.vocab_size :].any()
    assert np.array_equal(row[: tokenizer.vocab_size], matcher("bpe", "json").allowed())


@pytest.mark.parametrize(
    ("kind", "text", "named"),
    [
        ("json_schema", '{"type": "array", "uniqueItems": true}', "uniqueItems"),
        ("json_schema", '{"not": {"type": "string"}}', "not"),
        ("json_schema", '{"if": {}, "then": {}}', "if"),
        ("json_schema", '{"type": "strin"}', "strin"),
        ("json_schema", '{"$ref": "http://localhost/x"}', "localhost"),
        ("json_schema", "{", "not JSON"),
        ("json_schema", "[]", "object"),
        ("regex", "(((", "regular expression"),
        ("lark", "start: nope", "nope"),
    ],
)
def test_what_cannot_be_held_to_is_refused_by_name(
    kind: GrammarKind, text: str, named: str
) -> None:
    with pytest.raises(InvalidInput, match=named) as caught:
        matcher("bpe", kind, text)
    assert "\n" not in str(caught.value)


def test_a_token_that_was_not_allowed_is_an_error() -> None:
    found = matcher("bpe", "regex", "a")
    with pytest.raises(InvalidInput):
        found.accept(TOKENIZERS["bpe"].encode("z", add_special=False)[0])


def test_a_vocabulary_without_an_end_is_refused() -> None:
    values = bpe_values(MERGES, special=[]) | {"bos_token_id": 9999, "eos_token_id": 9999}
    values["tokens"] = values["tokens"][:11]
    values["token_type"] = values["token_type"][:11]
    with pytest.raises(InvalidInput, match="end token"):
        make_grammar_vocabulary(make_tokenizer(values))


def test_the_vocabulary_is_made_once_for_many_matchers() -> None:
    assert isinstance(VOCABULARIES["bpe"], GrammarVocabulary)
    first, second = matcher("bpe", "regex", "ab"), matcher("bpe", "regex", "ba")
    assert accepts(first, TOKENIZERS["bpe"], "ab")
    assert accepts(second, TOKENIZERS["bpe"], "ba")

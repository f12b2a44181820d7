"""JSON inside a grammar nests as deep as its bound, and means the same above it."""

import json
from typing import Any

import pytest

from engine.request import Grammar
from engine.text.grammar import GrammarMatcher, make_grammar_vocabulary
from engine.text.json_depth import MAX_DEPTH
from tests.engine.vocabularies import bpe_values, make_tokenizer

TOKENIZER = make_tokenizer(bpe_values(["~ ~"]))
VOCABULARY = make_grammar_vocabulary(TOKENIZER)
TREE = {
    "type": "object",
    "properties": {"v": {"type": "number"}, "kids": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["v"],
    "additionalProperties": False,
}
CHAIN = {
    "$defs": {
        "my node": {
            "type": "object",
            "properties": {
                "v": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/my%20node"}, {"type": "null"}]},
            },
            "required": ["v", "next"],
        }
    },
    "$ref": "#/$defs/my%20node",
}
MUTUAL = {
    "definitions": {
        "a": {"type": "array", "items": {"$ref": "#/definitions/b"}},
        "b": {"type": "object", "properties": {"x": {"$ref": "#/definitions/a"}}},
        "s": {"type": "string"},
    },
    "type": "object",
    "properties": {"p": {"$ref": "#/definitions/a"}, "q": {"$ref": "#/definitions/s"}},
}
BOTH = {
    "allOf": [
        {"type": "object", "properties": {"a": {"type": "integer"}}},
        {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]},
    ]
}


def num_accepted(schema: Any, text: str) -> int:
    """Characters of the text that the schema allows."""
    found = GrammarMatcher(Grammar("json_schema", json.dumps(schema)), VOCABULARY)
    token_ids = TOKENIZER.encode(text, add_special=False, parse_special=False, continues=True)
    assert len(token_ids) == len(text)
    for index, token_id in enumerate(token_ids):
        if not found.allowed()[token_id]:
            return index
        found.accept(token_id)
    assert found.is_finished
    return len(text)


def chain(length: int) -> str:
    return '{"v":"x","next":' * length + "null" + "}" * length


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (True, '[1,{"a":[]}]'),
        ({}, '"text"'),
        ({"type": "object"}, '{"a":' + "[" * 14 + "]" * 14 + "}"),
        (TREE, '{"v":1,"kids":[{"v":2,"kids":[]},{"v":3}]}'),
        (CHAIN, chain(MAX_DEPTH)),
        (MUTUAL, '{"p":[{"x":[{"x":[]}]}],"q":"s","other":[[1]]}'),
        (BOTH, '{"a":5,"b":"x"}'),
    ],
)
def test_what_a_schema_allows_it_still_allows(schema: Any, text: str) -> None:
    assert num_accepted(schema, text) == len(text)


@pytest.mark.parametrize(
    ("schema", "opening"),
    [
        ({}, "["),
        ({"type": "object"}, '{"a":'),
        ({"type": "array"}, "["),
        (TREE, '{"v":1,"kids":['),
        (CHAIN, '{"v":"x","next":'),
        ({"definitions": MUTUAL["definitions"], "$ref": "#/definitions/a"}, '[{"x":'),
    ],
)
def test_nothing_opens_for_ever(schema: Any, opening: str) -> None:
    text = opening * (2 * MAX_DEPTH)
    assert num_accepted(schema, text) <= len(opening) * (MAX_DEPTH + 1)

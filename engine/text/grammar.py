"""Keeps an output inside a grammar: which tokens may come next, by llguidance."""

import json
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from engine.request import Grammar
from engine.text.json_depth import bound_depth
from engine.tokenizer import Tokenizer
from models.errors import InvalidInput

_JSON_OPTIONS: dict[str, Any] = {
    "whitespace_flexible": True,
    "whitespace_pattern": r"\n[ \t]{0,24}| {1,2}",
}
"""White space between JSON tokens is bounded: a small model must not be able to write only that."""


@dataclass(frozen=True)
class GrammarVocabulary:
    """A model's tokens as llguidance wants them; made once for each model."""

    tokenizer: LLTokenizer
    num_logits: int


class GrammarMatcher:
    """Follows one output through its grammar."""

    def __init__(self, grammar: Grammar, vocabulary: GrammarVocabulary) -> None:
        """Raises InvalidInput when the grammar is wrong or uses what nobody here can hold it to."""
        self._num_logits = vocabulary.num_logits
        self._matcher = LLMatcher(vocabulary.tokenizer, _compile(grammar), log_level=0)
        if self._matcher.is_error():
            raise _refusal(grammar, self._matcher.get_error())
        self._bitmask = allocate_token_bitmask(1, vocabulary.tokenizer.vocab_size)

    @property
    def is_finished(self) -> bool:
        """Nothing more may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, [V]; end tokens once the output may end."""
        self._check()
        fill_next_token_bitmask(self._matcher, self._bitmask)
        bits = np.unpackbits(self._bitmask.view(np.uint8), bitorder="little")[: self._num_logits]
        missing = self._num_logits - len(bits)
        return np.pad(bits, (0, missing)).view(np.bool_) if missing else bits.view(np.bool_)

    def fill_mask(self, row: NDArray[np.bool_]) -> None:
        """Write `allowed` into `row`, bool [V]."""
        row[:] = self.allowed()

    def accept(self, token_id: int) -> None:
        """The token that came; it must be one that was allowed."""
        self._matcher.consume_token(token_id)
        self._check()

    def rollback(self, num_tokens: int) -> None:
        """Forget the last tokens accepted."""
        self._matcher.rollback(num_tokens)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidInput(f"the grammar cannot go on: {self._matcher.get_error()}")


def make_grammar_vocabulary(
    tokenizer: Tokenizer, num_logits: int | None = None
) -> GrammarVocabulary:
    """The tokens of a model whose network scores `num_logits` of them (None: the vocabulary's)."""
    tokens = [tokenizer.token_bytes(index) for index in range(tokenizer.vocab_size)]
    ends = sorted(index for index in tokenizer.eos_token_ids if index < len(tokens))
    if not ends:
        raise InvalidInput("the model has no end token; a grammar needs one")
    wrapper = TokenizerWrapper(_Tokens(tokenizer, tokens, ends[0]))
    return GrammarVocabulary(LLTokenizer(wrapper, eos_token=ends), num_logits or len(tokens))


class _Tokens:
    """The attributes and the call that llguidance asks of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer, tokens: list[bytes], end: int) -> None:
        self._tokenizer = tokenizer
        self.tokens = tokens
        self.eos_token_id = end
        self.bos_token_id = tokenizer.bos_token_id
        self.special_token_ids = [
            index for index in range(len(tokens)) if tokenizer.is_special(index)
        ]
        special = set(self.special_token_ids)
        self._ids = {text: index for index, text in enumerate(tokens) if index not in special}
        self._max_bytes = max(map(len, tokens))

    def __call__(self, text: bytes) -> list[int]:
        """Tokens whose bytes are exactly `text`, as the model would write it in mid-text."""
        ids = self._tokenizer.encode(
            text.decode(errors="replace"), add_special=False, parse_special=False, continues=True
        )
        exact = b"".join(self.tokens[index] for index in ids) == text
        return ids if exact else self._longest_first(text)

    def _longest_first(self, text: bytes) -> list[int]:
        ids: list[int] = []
        start = 0
        while start < len(text):
            for end in range(min(len(text), start + self._max_bytes), start, -1):
                if text[start:end] in self._ids:
                    ids.append(self._ids[text[start:end]])
                    break
            else:
                end = start + 1
            start = end
        return ids


def _compile(grammar: Grammar) -> str:
    match grammar.kind:
        case "json":
            return _compile_schema({"type": "object"})
        case "json_schema":
            try:
                schema = json.loads(grammar.text)
            except ValueError as error:
                raise InvalidInput(f"the JSON schema is not JSON: {error}") from error
            if not isinstance(schema, dict | bool):
                raise InvalidInput(f"a JSON schema must be an object, not {grammar.text[:60]!r}")
            return _compile_schema(schema)
        case "regex":
            return LLMatcher.grammar_from_regex(grammar.text)
        case "lark":
            return LLMatcher.grammar_from_lark(grammar.text)
        case _:
            assert_never(grammar.kind)


def _compile_schema(schema: Any) -> str:
    text = json.dumps(bound_depth(schema))
    return LLMatcher.grammar_from_json_schema(text, overrides=_JSON_OPTIONS)  # type: ignore[arg-type]


def _refusal(grammar: Grammar, error: str) -> InvalidInput:
    reason = error.strip().splitlines()[0] if error.strip() else "not valid"
    names = {"json": "JSON", "json_schema": "JSON schema", "regex": "regular expression"}
    return InvalidInput(f"the {names.get(grammar.kind, 'grammar')} cannot be used: {reason}")

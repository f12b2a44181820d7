"""Prompt lookup: drafts copied from where the last few tokens stood before.

Saxena 2023 ("Prompt Lookup Decoding"), with an index in place of a rescan. Such drafts cost nothing
to make, only to verify.
"""

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from engine.sequence import Sequence

NGRAM_TOKENS = 3


@dataclass
class _Index:
    last_seen: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Position after the latest occurrence of each n-gram that something followed."""
    num_indexed_tokens: int = 0
    num_dropped_tokens: int = 0


class PromptLookup:
    """Proposes the tokens that followed the latest occurrence of the current n-gram."""

    def __init__(self) -> None:
        self._indexes: WeakKeyDictionary[Sequence, _Index] = WeakKeyDictionary()

    def propose(self, sequence: Sequence, limit: int) -> list[int]:
        """Up to `limit` draft tokens to follow the sequence; often none."""
        tokens = sequence.token_ids
        index = self._indexes.get(sequence)
        if index is None or index.num_dropped_tokens != sequence.num_dropped_tokens:
            index = _Index(num_dropped_tokens=sequence.num_dropped_tokens)
            self._indexes[sequence] = index
        _extend(index, tokens)
        start = index.last_seen.get(tuple(tokens[-NGRAM_TOKENS:]))
        if start is None:
            return []
        period = len(tokens) - start
        return [tokens[start + i % period] for i in range(limit)]


def _extend(index: _Index, tokens: list[int]) -> None:
    """Enter the n-grams that have a follower by now."""
    first = max(index.num_indexed_tokens, NGRAM_TOKENS)
    for end in range(first, len(tokens)):
        index.last_seen[tuple(tokens[end - NGRAM_TOKENS : end])] = end
    index.num_indexed_tokens = max(index.num_indexed_tokens, len(tokens))

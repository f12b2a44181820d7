"""Prompt lookup: drafts copied from where the last few tokens stood before.

Saxena 2023 ("Prompt Lookup Decoding"), with an index in place of a rescan and a draft length that
follows what was accepted. Drafts cost nothing to make, so only the cost of verifying them counts.
"""

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from engine.sequence import Sequence

NGRAM_TOKENS = 3
MAX_PAUSE_TOKENS = 64


@dataclass
class _Lookup:
    """One sequence's index and what its drafts were worth so far."""

    last_seen: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Position after the latest occurrence of each n-gram that something followed."""
    num_indexed_tokens: int = 0
    draft_length: int = 2
    resume_at: int = 0
    """No drafts before the sequence has this many tokens."""
    pause_tokens: int = 1
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0


class NgramProposer:
    """Proposes the tokens that followed the latest occurrence of the current n-gram."""

    def __init__(self, max_draft_tokens: int) -> None:
        self._max_draft_tokens = max_draft_tokens
        self._lookups: WeakKeyDictionary[Sequence, _Lookup] = WeakKeyDictionary()

    def propose(self, sequence: Sequence, limit: int) -> SequenceOf[int]:
        """At most `limit` draft tokens to follow the sequence; often none."""
        lookup = self._lookups.setdefault(sequence, _Lookup())
        self._learn(lookup, sequence)
        tokens = sequence.token_ids
        _index(lookup, tokens)
        if len(tokens) < lookup.resume_at:
            return ()
        start = lookup.last_seen.get(tuple(tokens[-NGRAM_TOKENS:]))
        if start is None:
            return ()
        period = len(tokens) - start
        return [tokens[start + i % period] for i in range(min(limit, lookup.draft_length))]

    def _learn(self, lookup: _Lookup, sequence: Sequence) -> None:
        """Lengthen drafts that were accepted whole, shorten refused ones, then pause."""
        num_drafts = sequence.num_draft_tokens - lookup.num_draft_tokens
        num_accepted = sequence.num_accepted_tokens - lookup.num_accepted_tokens
        lookup.num_draft_tokens = sequence.num_draft_tokens
        lookup.num_accepted_tokens = sequence.num_accepted_tokens
        if not num_drafts:
            return
        if num_accepted == num_drafts:
            lookup.draft_length = min(2 * lookup.draft_length, self._max_draft_tokens)
            lookup.pause_tokens = 1
        elif 2 * num_accepted < num_drafts:
            if lookup.draft_length == 1:
                lookup.resume_at = len(sequence) + lookup.pause_tokens
                lookup.pause_tokens = min(2 * lookup.pause_tokens, MAX_PAUSE_TOKENS)
            lookup.draft_length = max(1, lookup.draft_length // 2)


def _index(lookup: _Lookup, tokens: list[int]) -> None:
    """Enter the n-grams that have a follower by now."""
    first = max(lookup.num_indexed_tokens, NGRAM_TOKENS)
    for end in range(first, len(tokens)):
        lookup.last_seen[tuple(tokens[end - NGRAM_TOKENS : end])] = end
    lookup.num_indexed_tokens = max(lookup.num_indexed_tokens, len(tokens))

"""Fits a conversation or a text into the context; what was left out is always said.

Three policies: refuse what does not fit (`error`), leave the oldest turns out (`drop`), or keep the
first part and let the tokens behind it go, in the prompt and while the answer is written (`shift`).
"""

from collections.abc import Callable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any

from engine.prefix_cache import num_common
from models.errors import InvalidInput

Message = Mapping[str, Any]


@dataclass(frozen=True)
class FittedConversation:
    """The messages that fit, as tokens, and what was dropped to get there."""

    token_ids: tuple[int, ...]
    num_dropped_messages: int = 0
    num_dropped_tokens: int = 0


def fit_conversation(
    messages: SequenceOf[Message],
    encode: Callable[[SequenceOf[Message]], SequenceOf[int]],
    max_prompt_tokens: int,
    *,
    may_drop: bool = True,
) -> FittedConversation:
    """Drop the oldest turns until the rendered prompt has at most `max_prompt_tokens`.

    System messages and everything from the last user message on stay. Turns go whole: a tool's
    result never stays behind without the call that asked for it. `encode` renders and tokenizes.

    >>> turns = [{"role": "user"}, {"role": "assistant"}, {"role": "user"}]
    >>> fit_conversation(turns, lambda kept: range(10 * len(kept)), 15).num_dropped_messages
    2

    Raises:
        InvalidInput: it does not fit, even so.
    """
    whole = encode(messages)
    kept, token_ids = list(messages), whole
    while len(token_ids) > max_prompt_tokens:
        rest = _without_oldest_turn(kept) if may_drop else kept
        if len(rest) == len(kept):
            raise InvalidInput(
                f"the conversation has {len(token_ids)} tokens, the context has room for "
                f"{max_prompt_tokens}",
                hint="shorten the last message, or ask for a larger context (num_ctx)",
            )
        kept, token_ids = rest, encode(rest)
    return FittedConversation(
        tuple(token_ids), len(messages) - len(kept), len(whole) - len(token_ids)
    )


def shift_tokens(
    token_ids: SequenceOf[int], num_kept_tokens: int, max_tokens: int
) -> tuple[int, ...]:
    """The first part and as much of the end as fits; what stood between them is dropped.

    What is left is computed as a prompt of its own, at positions without a gap.

    >>> shift_tokens(range(10), num_kept_tokens=2, max_tokens=5)
    (0, 1, 7, 8, 9)
    """
    kept = min(num_kept_tokens, max_tokens // 2)
    num_last = min(max_tokens, len(token_ids)) - kept
    return (*token_ids[:kept], *token_ids[len(token_ids) - num_last :])


def num_first_tokens(
    messages: SequenceOf[Message], encode: Callable[[SequenceOf[Message]], SequenceOf[int]]
) -> int:
    """Tokens that come before what is first said: start token, system messages, marks.

    >>> spell = lambda messages: [c for m in messages for c in f"{m['role']}:{m['content']}"]
    >>> turns = [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]
    >>> num_first_tokens(turns, spell)
    13
    """
    others = [m if m.get("role") == "system" else {**m, "content": "."} for m in messages]
    return num_common(encode(messages), encode(others))


def _without_oldest_turn(messages: list[Message]) -> list[Message]:
    """The messages without the first user turn and its answers; all of them if it is the last."""
    users = [i for i, message in enumerate(messages) if message.get("role") == "user"]
    movable = [i for i, message in enumerate(messages) if message.get("role") != "system"]
    last = users[-1] if users else len(messages) - 1
    end = next((i for i in users if i > movable[0]), last) if movable else last
    return [m for i, m in enumerate(messages) if i >= end or m.get("role") == "system"]

"""Which messages still go into the context of a chat that has grown long. Pure.

The oldest turns are left out in large steps, so that the daemon's prefix cache serves most replies.
"""

from app.tui.conversation import Conversation, Message

CHARS_PER_TOKEN = 3.0
"""Assumed until a reply has shown the real ratio; on the safe side for English."""

TOKENS_PER_MESSAGE = 8
"""What a chat template adds to a message, about."""

TARGET_SHARE = 0.5
"""When turns are left out, so much of the context may stay filled."""


def num_dropped_messages(
    conversation: Conversation, system: str, context_length: int | None, reserve_tokens: int
) -> int:
    """How many of the oldest shown messages to leave out of the next request.

    What the last reply left out stays out. The last user's message always goes in, too long as
    it may be: the daemon then says so.
    """
    messages = [conversation.messages[place] for place in conversation.path()]
    dropped = max((message.num_dropped_messages for message in messages), default=0)
    if context_length is None:
        return dropped
    ratio = _chars_per_token(messages, system)
    room = context_length - min(reserve_tokens, context_length // 4)
    if _num_tokens(messages[dropped:], system, ratio) <= room:
        return dropped
    target = int(context_length * TARGET_SHARE)
    while dropped < len(messages) - 1 and (
        messages[dropped].role != "user" or _num_tokens(messages[dropped:], system, ratio) > target
    ):
        dropped += 1
    return dropped


def _num_tokens(messages: list[Message], system: str, chars_per_token: float) -> int:
    num_chars = len(system) + sum(len(message.content) for message in messages)
    return int(num_chars / chars_per_token) + TOKENS_PER_MESSAGE * (len(messages) + 1)


def _chars_per_token(messages: list[Message], system: str) -> float:
    """The ratio in the last reply's prompt, kept within what languages and code show."""
    for place in range(len(messages) - 1, 0, -1):
        message = messages[place]
        if message.stats is None or not message.stats.num_prompt_tokens:
            continue
        sent = messages[message.num_dropped_messages : place]
        num_chars = len(system) + sum(len(m.content) for m in sent)
        num_tokens = message.stats.num_prompt_tokens - TOKENS_PER_MESSAGE * (len(sent) + 1)
        if num_tokens > 0 and num_chars > 200:
            return min(6.0, max(0.8, num_chars / num_tokens))
    return CHARS_PER_TOKEN

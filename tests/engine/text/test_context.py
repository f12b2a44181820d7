"""Conversations that are too long lose their oldest turns, and say so."""

from typing import Any

import pytest

from engine.text.context import fit_conversation
from models.errors import InvalidInput


def turn(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def encode(messages: Any) -> list[int]:
    return [ord(c) for m in messages for c in m["content"]]


CHAT = [
    turn("SYS", "system"),
    turn("one"),
    turn("call", "assistant"),
    turn("result", "tool"),
    turn("answer", "assistant"),
    turn("two"),
    turn("reply", "assistant"),
    turn("three"),
]


def test_what_fits_stays_whole() -> None:
    fitted = fit_conversation(CHAT, encode, 100)
    assert (fitted.num_dropped_messages, fitted.num_dropped_tokens) == (0, 0)
    assert list(fitted.token_ids) == encode(CHAT)


def test_a_turn_goes_with_its_tool_calls_and_answers() -> None:
    fitted = fit_conversation(CHAT, encode, 20)
    assert "".join(map(chr, fitted.token_ids)) == "SYStworeplythree"
    assert (fitted.num_dropped_messages, fitted.num_dropped_tokens) == (4, 19)


def test_system_and_last_message_stay_to_the_end() -> None:
    fitted = fit_conversation(CHAT, encode, 8)
    assert "".join(map(chr, fitted.token_ids)) == "SYSthree"


@pytest.mark.parametrize("may_drop", [True, False])
def test_what_can_never_fit_is_refused_with_both_numbers(may_drop: bool) -> None:
    with pytest.raises(InvalidInput, match=r"\d+ tokens, the context has room for 4"):
        fit_conversation(CHAT, encode, 4, may_drop=may_drop)


def test_dropping_can_be_forbidden() -> None:
    with pytest.raises(InvalidInput, match="room for 20"):
        fit_conversation(CHAT, encode, 20, may_drop=False)


def test_a_chat_without_users_is_not_lost() -> None:
    with pytest.raises(InvalidInput):
        fit_conversation([turn("SYS", "system")], encode, 1)

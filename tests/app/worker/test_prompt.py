"""What becomes of a prompt that is longer than the context, by policy."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.protocol import Generate
from app.worker.prompt import Prompt, make_prompt, max_answer_tokens
from engine.text.chat_template import ChatTemplate
from models.errors import InvalidInput
from tests.app.worker.test_engine import TEMPLATE, Letters

SYSTEM = {"role": "system", "content": "be kind"}
TURNS = [
    {"role": "user", "content": "a" * 60},
    {"role": "assistant", "content": "b" * 60},
    {"role": "user", "content": "c" * 60},
]
LIMIT = 120


def prompt_of(max_context_tokens: int = LIMIT, **fields: Any) -> Prompt:
    model: Any = SimpleNamespace(
        tokenizer=Letters(), chat_template=ChatTemplate(TEMPLATE, bos_token="\x01")
    )
    return make_prompt(model, Generate("r", **fields), max_context_tokens)


def text_of(prompt: Prompt) -> str:
    return "".join(map(chr, prompt.token_ids))


def test_error_refuses_with_both_numbers() -> None:
    with pytest.raises(InvalidInput, match=r"2\d\d tokens, the context has room for 120"):
        prompt_of(messages=[SYSTEM, *TURNS], truncate=False)


def test_drop_leaves_the_oldest_turns_out() -> None:
    prompt = prompt_of(messages=[SYSTEM, *TURNS])
    assert (prompt.num_dropped_messages, prompt.num_kept_tokens) == (2, None)
    assert "a" * 60 not in text_of(prompt)


def test_shift_keeps_the_system_part_and_the_end() -> None:
    prompt = prompt_of(messages=[SYSTEM, *TURNS], truncate=False, shift=True)
    head = "\x01[system]be kind\n[user]"
    assert prompt.num_kept_tokens == len(head)
    assert text_of(prompt).startswith(head)
    assert text_of(prompt).endswith("c" * 60 + "\n[assistant]")
    assert len(prompt.token_ids) < LIMIT
    whole = prompt_of(1000, messages=[SYSTEM, *TURNS])
    assert prompt.num_dropped_tokens == len(whole.token_ids) - len(prompt.token_ids)


def test_a_single_message_too_long_shifts_where_dropping_does_not_help() -> None:
    long = [SYSTEM, {"role": "user", "content": "x" * 300}]
    with pytest.raises(InvalidInput, match=r"3\d\d tokens"):
        prompt_of(messages=long)
    prompt = prompt_of(messages=long, shift=True)
    assert len(prompt.token_ids) < LIMIT
    assert text_of(prompt).startswith("\x01[system]be kind\n[user]x")


def test_a_text_without_messages_keeps_as_many_tokens_as_asked() -> None:
    prompt = prompt_of(prompt="abcdefghij" * 20, shift=True, num_kept_tokens=6)
    assert text_of(prompt).startswith("\x01abcde")
    assert prompt.num_dropped_tokens == 201 - len(prompt.token_ids)


def test_an_answer_that_shifts_may_be_longer_than_the_context_but_has_an_end() -> None:
    asked = Generate("r", messages=[SYSTEM, *TURNS[:1]], shift=True)
    shifting = prompt_of(messages=asked.messages, shift=True)
    assert max_answer_tokens(asked, shifting, LIMIT) == 10 * LIMIT
    plain = prompt_of(messages=asked.messages)
    assert max_answer_tokens(asked, plain, LIMIT) == LIMIT - len(plain.token_ids)


def test_a_request_may_bring_a_template_of_its_own() -> None:
    prompt = prompt_of(messages=TURNS[:1], template="<{{ .Prompt }}>{{ .Response }}")
    assert text_of(prompt) == f"\x01<{TURNS[0]['content']}>"

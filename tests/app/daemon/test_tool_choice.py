"""What a client's wish for calls becomes, in each API's own words."""

from typing import Any

import pytest

from app.daemon.anthropic.requests import parse_messages_request
from app.daemon.ollama.requests import TextRequest, to_generates
from app.daemon.openai.requests import parse_chat_completion
from app.daemon.openai.responses_requests import parse_response_request
from models.errors import InvalidInput
from models.files import ModelFiles

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}


def ask_chat(choice: Any, **more: Any) -> TextRequest:
    tools = [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in "fg"]
    body = {"model": "m", "messages": [USER], "tools": tools, "tool_choice": choice, **more}
    return parse_chat_completion(body).first


def ask_responses(choice: Any, **more: Any) -> TextRequest:
    tools = [{"type": "function", "name": n, "parameters": SCHEMA} for n in "fg"]
    body = {"model": "m", "input": "hi", "tools": tools, "tool_choice": choice, **more}
    return parse_response_request(body).text


def ask_anthropic(choice: Any) -> TextRequest:
    tools = [{"name": name, "input_schema": SCHEMA} for name in "fg"]
    body = {"model": "m", "max_tokens": 9, "messages": [USER], "tools": tools}
    return parse_messages_request({**body, "tool_choice": choice})


NAMED = {"type": "function", "function": {"name": "g"}}
ALLOWED = {"mode": "required", "tools": [NAMED]}


@pytest.mark.parametrize(
    ("asked", "tools", "must_call", "parallel_calls"),
    [
        (ask_chat(None), "fg", False, True),
        (ask_chat("auto"), "fg", False, True),
        (ask_chat("none"), "", False, True),
        (ask_chat("required"), "fg", True, True),
        (ask_chat("required", parallel_tool_calls=False), "fg", True, False),
        (ask_chat(NAMED), "g", True, False),
        (ask_chat({"type": "allowed_tools", "allowed_tools": ALLOWED}), "g", True, True),
        (ask_responses("required"), "fg", True, True),
        (ask_responses({"type": "function", "name": "g"}), "g", True, False),
        (ask_responses({"type": "allowed_tools", **ALLOWED}), "g", True, True),
        (ask_anthropic({"type": "auto"}), "fg", False, True),
        (ask_anthropic({"type": "any"}), "fg", True, True),
        (ask_anthropic({"type": "any", "disable_parallel_tool_use": True}), "fg", True, False),
        (ask_anthropic({"type": "tool", "name": "g"}), "g", True, False),
        (ask_anthropic({"type": "none"}), "", False, True),
    ],
)
@pytest.mark.compat("POST /v1/chat/completions", "`tool_choice`, `parallel_tool_calls`")
@pytest.mark.compat("POST /v1/messages", "`tool_choice`")
def test_a_choice_says_which_tools_whether_and_how_many(
    asked: TextRequest, tools: str, must_call: bool, parallel_calls: bool
) -> None:
    (generate,) = to_generates(asked, ModelFiles("m:latest", "gguf", (), None, "d" * 64))
    assert "".join(tool["function"]["name"] for tool in generate.tools or ()) == tools
    assert (generate.must_call, generate.parallel_calls) == (must_call, parallel_calls)


@pytest.mark.parametrize("ask", [ask_chat, ask_responses])
def test_a_choice_that_means_nothing_is_refused(ask) -> None:
    with pytest.raises(InvalidInput, match='invalid tool_choice: "maybe"'):
        ask("maybe")
    with pytest.raises(InvalidInput, match="tool_choice names 'h', which is not in tools"):
        ask({"type": "function", "name": "h"})


def test_anthropics_choice_that_means_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match='invalid tool_choice: "maybe"'):
        ask_anthropic({"type": "maybe"})
    with pytest.raises(InvalidInput, match="tool_choice names 'h'"):
        ask_anthropic({"type": "tool", "name": "h"})

"""Bodies of Anthropic's `/v1/messages`, to what a worker is asked. Pure."""

import json
from typing import Any

from app.daemon.anthropic.fields import BLOCK, MESSAGES
from app.daemon.fields import Fields, Json
from app.daemon.ollama.requests import TextRequest
from models.errors import InvalidInput

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "max": "max", "xhigh": "max"}


def parse_messages_request(body: Json) -> TextRequest:
    """A `/v1/messages` body.

    Raises:
        InvalidInput: in the words that Ollama uses here.
    """
    fields = Fields(body, MESSAGES)
    model, max_tokens = fields.text("model"), fields.integer("max_tokens")
    if not model:
        raise InvalidInput("model is required")
    if max_tokens is None or max_tokens <= 0:
        raise InvalidInput("max_tokens is required and must be positive")
    return TextRequest(
        model=model,
        stream=fields.flag("stream", default=False),
        messages=parse_conversation(fields),
        **_parse_tools(fields),
        think=_parse_thinking(fields),
        max_thinking_tokens=_parse_budget(fields),
        options=_parse_options(fields, max_tokens),
    )


def parse_conversation(fields: Fields) -> list[Json]:
    """System prompt and messages as templates know them."""
    items = fields.objects("messages")
    if not items:
        raise InvalidInput("messages is required")
    system = _join_texts(fields.any("system"), "system")
    messages: list[Json] = [{"role": "system", "content": system}] if system else []
    names_by_id: dict[str, str] = {}
    for item in items:
        messages += _parse_message(item, names_by_id)
    return messages


def _parse_message(fields: Fields, names_by_id: dict[str, str]) -> list[Json]:
    """One message; each tool result in it becomes a message of its own, before the rest."""
    role = fields.text("role").lower()
    content = fields.any("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = [] if content is None else content
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InvalidInput("content must be a string or an array of blocks")
    message: Json = {"role": role, "content": ""}
    results, texts, calls = [], [], []
    for block in [Fields(each, BLOCK, "messages.content.") for each in blocks]:
        kind = block.text("type")
        if kind == "text":
            texts.append(block.text("text"))
        elif kind == "thinking":
            message["thinking"] = block.text("thinking")
        elif kind == "tool_use":
            names_by_id[block.text("id")] = block.text("name")
            calls.append(_tool_call(block))
        elif kind == "tool_result":
            results.append(_tool_result(block, names_by_id))
        elif kind != "redacted_thinking":
            raise InvalidInput(f"content of type {kind!r} is not supported: text models only")
    message["content"] = "\n".join(texts)
    if calls:
        message["tool_calls"] = calls
    has_more = bool(texts or calls or message.get("thinking")) or not results
    return [*results, message] if has_more else results


def _tool_call(block: Fields) -> Json:
    function = {"name": block.text("name"), "arguments": block.object("input")}
    return {"id": block.text("id"), "type": "function", "function": function}


def _tool_result(block: Fields, names_by_id: dict[str, str]) -> Json:
    call_id = block.text("tool_use_id")
    return {
        "role": "tool",
        "content": _join_texts(block.any("content"), "tool_result"),
        "tool_call_id": call_id,
        "tool_name": names_by_id.get(call_id, ""),
    }


def _join_texts(value: Any, where: str) -> str:
    """A string, or text blocks."""
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a string or text blocks")
    texts = [block.get("text") for block in value if isinstance(block, dict)]
    if len(texts) != len(value) or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"{where} must be a string or text blocks")
    return "\n".join(map(str, texts))


def _parse_tools(fields: Fields) -> Json:
    """The client's own tools; those that Anthropic itself would run or describe are left out."""
    tools: list[Json] = [
        {
            "type": "function",
            "function": {
                "name": tool.text("name"),
                "description": tool.text("description"),
                "parameters": tool.object("input_schema"),
            },
        }
        for tool in fields.objects("tools")
        if tool.text("type") in ("", "custom")
    ]
    choice = fields.nested("tool_choice")
    kind = choice.any("type") or "auto"
    if kind == "none":
        return {"tools": []}
    if kind not in ("auto", "any", "tool"):
        raise InvalidInput(f"invalid tool_choice: {json.dumps(kind)}")
    if kind == "tool":
        tools = [tool for tool in tools if tool["function"]["name"] == choice.any("name")]
    if kind != "auto" and not tools:
        named = repr(choice.any("name")) if kind == "tool" else "a tool"
        raise InvalidInput(f"tool_choice names {named}, which is not in tools")
    return {
        "tools": tools,
        "must_call": kind != "auto",
        "parallel_calls": kind != "tool" and not choice.any("disable_parallel_tool_use"),
    }


def _parse_thinking(fields: Fields) -> bool | str | None:
    """Off unless it is asked for: Anthropic's clients do not expect thoughts by themselves."""
    effort = fields.nested("output_config").any("effort")
    if effort is not None and not (isinstance(effort, str) and effort in _EFFORTS):
        raise InvalidInput(f"invalid effort: {json.dumps(effort)}")
    kind = fields.nested("thinking").any("type") or "disabled"
    if kind not in ("enabled", "disabled", "adaptive"):
        raise InvalidInput(f"invalid thinking type: {json.dumps(kind)}")
    if kind == "disabled":
        return False
    return True if effort is None else _EFFORTS[effort]


def _parse_budget(fields: Fields) -> int | None:
    """How long a thought may be; Anthropic's own bounds, 1024 and max_tokens, are not asked for."""
    budget = fields.nested("thinking").integer("budget_tokens")
    if budget is not None and budget <= 0:
        raise InvalidInput(f"thinking.budget_tokens must be positive, not {budget}")
    return budget


def _parse_options(fields: Fields, max_tokens: int) -> Json:
    given = {
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
        "top_k": fields.integer("top_k"),
        "stop": list(fields.texts("stop_sequences")) or None,
    }
    named = {name: value for name, value in given.items() if value is not None}
    return {"temperature": 1.0, "top_p": 1.0, "num_predict": max_tokens, **named}

"""OpenAI's messages, to those that templates know. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from app.daemon.fields import Fields, Json
from models.errors import InvalidInput


def parse_messages(items: Sequence[Fields]) -> list[Json]:
    """OpenAI's messages as templates know them."""
    names_by_id: dict[str, str] = {}
    messages = []
    for fields in items:
        message = _parse_message(fields, names_by_id)
        messages.append(message)
    return messages


def _parse_message(fields: Fields, names_by_id: dict[str, str]) -> Json:
    role = fields.text("role").lower()
    message: Json = {
        "role": "system" if role == "developer" else role,
        "content": _parse_content(fields.any("content")),
    }
    thinking = fields.text("reasoning") or fields.text("reasoning_content")
    if thinking:
        message["thinking"] = thinking
    if fields.has("tool_call_id"):
        call_id = fields.text("tool_call_id")
        message["tool_call_id"] = call_id
        message["tool_name"] = fields.text("name") or names_by_id.get(call_id, "")
    calls = [_parse_tool_call(each) for each in fields.objects("tool_calls")]
    if calls:
        message["tool_calls"] = calls
        names_by_id.update((call["id"], call["function"]["name"]) for call in calls)
    return message


def _parse_content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidInput(f"invalid message content type: {type(content).__name__}")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("image_url", "input_audio", "file"):
            raise InvalidInput(f"this server runs text models only; {kind} is not supported")
        else:
            raise InvalidInput("invalid message format")
    return "\n".join(texts)


def _parse_tool_call(fields: Fields) -> Json:
    function = fields.nested("function")
    arguments = function.any("arguments") or "{}"
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError as error:
        raise InvalidInput(f"invalid tool call arguments: {error}") from error
    if not isinstance(parsed, dict):
        raise InvalidInput("invalid tool call arguments: an object is accepted")
    return {
        "id": fields.text("id"),
        "type": "function",
        "function": {"name": function.text("name"), "arguments": parsed},
    }

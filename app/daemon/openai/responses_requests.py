"""Bodies of OpenAI's `/v1/responses`, to what a worker is asked. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.daemon.fields import Fields, Json
from app.daemon.ollama.requests import TextRequest
from app.daemon.openai.fields import FORMAT, ITEM, MESSAGE, RESPONSE
from app.daemon.openai.messages import parse_messages
from app.daemon.openai.requests import parse_effort, parse_grammar
from app.daemon.openai.tool_choice import choose_tools
from models.errors import InvalidInput, Unsupported


@dataclass(frozen=True)
class ResponseRequest:
    """A response as it was asked for; `items` is the whole conversation, earlier turns included."""

    text: TextRequest
    items: Sequence[Json]
    echo: Json
    """Fields that the response repeats."""
    store: bool = True


def parse_response_request(body: Json, previous: Sequence[Json] = ()) -> ResponseRequest:
    """A `/v1/responses` body, behind the items of the response that it names as the previous.

    Raises:
        InvalidInput: with the field that is wrong.
        Unsupported: what only OpenAI's own servers can do.
    """
    fields = Fields(body, RESPONSE)
    if fields.any("conversation") is not None:
        raise Unsupported("conversation is not supported", hint="use previous_response_id")
    if fields.flag("background", default=False):
        raise Unsupported("background is not supported", hint="wait for the response, or stream it")
    if not fields.text("model"):
        raise InvalidInput("model is required")
    instructions = fields.text("instructions")
    system: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
    own_items = _parse_input(fields.any("input"))
    if not own_items:
        raise InvalidInput("input is required")
    items = [*previous, *own_items]
    given = {
        "num_predict": fields.integer("max_output_tokens"),
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
    }
    options = {name: value for name, value in given.items() if value is not None}
    text = TextRequest(
        model=fields.text("model"),
        stream=fields.flag("stream", default=False),
        messages=[*system, *_parse_items(items)],
        **_parse_tools(fields),
        think=parse_effort(fields),
        grammar=parse_grammar(_flat_format(fields), "text.format"),
        options={"temperature": 1.0, "top_p": 1.0, **options},
        truncate=fields.text("truncation", "disabled") == "auto",
    )
    return ResponseRequest(text, items, _echo(body), fields.flag("store", default=True))


def _echo(body: Json) -> Json:
    """Fields of the request that stand in the response too, with OpenAI's defaults."""
    defaults: Json = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
    given = {name: body[name] for name in defaults if body.get(name) is not None}
    given["text"] = defaults["text"] | given.get("text", {})
    tools = [tool for tool in given.get("tools", ()) if tool.get("type") == "function"]
    given["tools"] = [{"strict": False, **tool} for tool in tools]
    return defaults | given


def _parse_input(value: Any) -> list[Json]:
    """The input as items."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    items = [] if value is None else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput("input must be a string or an array of items")
    return items


def _parse_items(items: Sequence[Json]) -> list[Json]:
    """Items as messages of the chat API, read by its rules."""
    messages = _to_messages([Fields(item, ITEM, "input.") for item in items])
    return parse_messages([Fields(each, MESSAGE, "input.") for each in messages])


def _to_messages(items: Sequence[Fields]) -> list[Json]:
    """Items in order; reasoning and calls join the assistant's message that they belong to."""
    messages: list[Json] = []
    for item in items:
        kind = item.text("type", "message")
        if kind == "message":
            _assistant_or_new(messages, item.text("role"))["content"] = item.any("content")
        elif kind == "reasoning":
            content = item.any("content")
            parts = item.array("summary") + (content if isinstance(content, list) else [])
            texts = [part.get("text", "") for part in parts if isinstance(part, dict)]
            thinking = "".join(map(str, texts))
            messages.append({"role": "assistant", "content": "", "reasoning": thinking})
        elif kind == "function_call":
            function = {"name": item.text("name"), "arguments": item.text("arguments")}
            message = messages[-1] if messages and messages[-1]["role"] == "assistant" else None
            if message is None:
                message = {"role": "assistant", "content": ""}
                messages.append(message)
            calls = message.setdefault("tool_calls", [])
            calls.append({"id": item.text("call_id"), "function": function})
        elif kind == "function_call_output":
            output = item.any("output")
            call_id = item.text("call_id")
            messages.append({"role": "tool", "content": output, "tool_call_id": call_id})
        else:
            raise Unsupported(f"input items of type {kind!r} are not supported")
    return messages


def _assistant_or_new(messages: list[Json], role: str) -> Json:
    """The message that text of `role` goes to: after a thought, that one."""
    last = messages[-1] if messages else {}
    if role == "assistant" and last.get("reasoning") and not last["content"]:
        return last
    messages.append({"role": role})
    return messages[-1]


def _parse_tools(fields: Fields) -> Json:
    """The functions; what a server would have to run itself, as a search, is left out.

    Clients like Codex name such tools with every request, and can do without. The response's own
    `tools` says what is left.
    """
    tools: list[Json] = []
    for tool in fields.objects("tools"):
        if tool.text("type") != "function":
            continue
        function = {
            "name": tool.text("name"),
            "description": tool.text("description"),
            "parameters": tool.object("parameters"),
        }
        tools.append({"type": "function", "function": function})
    return choose_tools(fields, tools, fields.any("tool_choice"))


def _flat_format(fields: Fields) -> Fields:
    """`text.format` as the chat API's `response_format`."""
    wanted = fields.nested("text").nested("format")
    schema = {"schema": wanted.any("schema")}
    return Fields({"type": wanted.any("type"), "json_schema": schema}, FORMAT, "text.format.")

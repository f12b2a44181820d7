"""The fields of Anthropic's request bodies."""

from app.daemon.ollama.fields import MODEL
from app.daemon.struct import (
    TEXTS,
    Struct,
    anything,
    flag,
    integer,
    mapping,
    nested,
    number,
    objects,
    text,
)

_TEXT_OR_BLOCKS = [
    {"type": "string"},
    {"type": "array", "items": {"type": "object"}},
]
BLOCK = Struct(
    "ContentBlock",
    "MessagesRequest",
    {
        "type": text("text, thinking, redacted_thinking, tool_use or tool_result."),
        "text": text(),
        "thinking": text(),
        "id": text("Of a tool_use."),
        "name": text("Of a tool_use."),
        "input": mapping("Of a tool_use."),
        "tool_use_id": text("Of a tool_result."),
        "content": anything("Of a tool_result.", anyOf=_TEXT_OR_BLOCKS),
    },
)
MESSAGE = Struct(
    "MessageParam",
    "MessagesRequest",
    {
        "role": text("user or assistant."),
        "content": anything(
            "Text or blocks.",
            anyOf=[{"type": "string"}, {"type": "array", "items": BLOCK.reference}],
        ),
    },
)
_TOOL = Struct(
    "AnthropicTool",
    "MessagesRequest",
    {
        "type": text("custom; tools of other types are left out."),
        "name": text(),
        "description": text(),
        "input_schema": mapping("A JSON Schema."),
    },
)
_TOOL_CHOICE = Struct(
    "AnthropicToolChoice",
    "MessagesRequest",
    {
        "type": anything("", enum=["auto", "any", "tool", "none"]),
        "name": anything("Of the tool that must be used."),
        "disable_parallel_tool_use": anything("Whether only one at once."),
    },
)
_THINKING = Struct(
    "Thinking",
    "MessagesRequest",
    {
        "type": anything("", enum=["enabled", "disabled", "adaptive"]),
        "budget_tokens": integer("The longest thought; less than max_tokens.", 1),
    },
)
_OUTPUT = Struct(
    "OutputConfig",
    "MessagesRequest",
    {"effort": anything("", enum=["low", "medium", "high", "max", "xhigh", None])},
)
_MESSAGES_FIELDS = {
    "model": MODEL,
    "max_tokens": integer("The longest answer, thoughts included.", 1),
    "messages": objects(MESSAGE, "[]anthropic.MessageParam", minItems=1),
    "system": anything("", anyOf=_TEXT_OR_BLOCKS),
    "stream": flag("Server-sent events, or one message.", default=False),
    "tools": objects(_TOOL, "[]anthropic.Tool"),
    "tool_choice": nested(_TOOL_CHOICE),
    "thinking": nested(_THINKING),
    "output_config": nested(_OUTPUT),
    "temperature": number("", 0, 100),
    "top_p": number("", 0, 1),
    "top_k": integer("", 0),
    "stop_sequences": TEXTS,
}
MESSAGES = Struct(
    "MessagesRequest",
    "MessagesRequest",
    _MESSAGES_FIELDS,
    required=("model", "max_tokens", "messages"),
)
COUNT = Struct(
    "CountTokensRequest", "MessagesRequest", _MESSAGES_FIELDS, required=("model", "messages")
)

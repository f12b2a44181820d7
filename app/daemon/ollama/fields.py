"""The fields of Ollama's request bodies. Source: ollama, api/types.go."""

from app.daemon.struct import (
    TEXTS,
    Field,
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
from models.parameters import FLAG, KV_TYPE, NAME, NUMBER, TYPES, WHOLE
from models.parameters import TEXTS as STOPS

_OPTION_KINDS: dict[str, Field] = {
    WHOLE: number("A fraction is cut off."),
    NUMBER: number(),
    FLAG: flag(),
    STOPS: TEXTS,
    NAME: text(),
    KV_TYPE: text("How keys and values are kept: `f16`, `q8_0`, or `auto`: as the daemon does."),
}
OPTIONS = Struct("Options", "Options", {name: _OPTION_KINDS[kind] for name, kind in TYPES.items()})

KEEP_ALIVE = anything(
    "How long the model stays loaded: seconds, or a duration like `5m`; negative: for ever.",
    anyOf=[{"type": "number"}, {"type": "string", "examples": ["5m", "-1"]}],
)
MODEL = Field(
    "text", "A name of the library, or a path.", schema={"minLength": 1, "examples": ["pocket"]}
)
_NAME = text("What `model` was called once.")

_FUNCTION_CALL = Struct(
    "FunctionCall", "ChatRequest", {"name": text(), "arguments": mapping("By name.")}
)
_TOOL_CALL = Struct("ToolCall", "ChatRequest", {"id": text(), "function": nested(_FUNCTION_CALL)})
_TOOL = Struct("Tool", "ChatRequest", {})
MESSAGE = Struct(
    "Message",
    "ChatRequest",
    {
        "role": text("system, user, assistant or tool."),
        "content": text(),
        "thinking": text("A thought that the assistant had."),
        "tool_name": text("Of a tool's result."),
        "tool_call_id": text("Of a tool's result."),
        "images": Field("texts", "Refused: text models only."),
        "tool_calls": objects(_TOOL_CALL, "[]api.ToolCall"),
    },
)

_COMMON: dict[str, Field] = {
    "model": MODEL,
    "name": _NAME,
    "adapter": text("A LoRA adapter: a name in the library, or a path; ours."),
    "stream": flag("NDJSON lines, or one object.", default=True),
    "keep_alive": KEEP_ALIVE,
    "think": anything(
        "Whether, and how hard, the model thinks first.",
        anyOf=[{"type": "boolean"}, {"enum": ["high", "medium", "low", "max", ""]}],
    ),
    "format": anything(
        "`json`, or the JSON Schema that the answer follows.",
        anyOf=[{"enum": ["json", ""]}, {"type": "object"}],
    ),
    "options": nested(OPTIONS),
    "logprobs": flag("Log-probabilities of the answer's tokens.", default=False),
    "top_logprobs": integer("Of so many likely tokens in each place.", 0, 20),
    "truncate": flag("Whether old turns may be left out when they do not fit.", default=True),
    "shift": flag("Whether an answer goes on when the context is full.", default=False),
}

CHAT = Struct(
    "ChatRequest",
    "ChatRequest",
    {
        **_COMMON,
        "messages": objects(MESSAGE, "[]api.Message"),
        "tools": objects(_TOOL, "[]api.Tool", "Functions that the model may call."),
    },
    required=("model",),
)
GENERATE = Struct(
    "GenerateRequest",
    "GenerateRequest",
    {
        **_COMMON,
        "prompt": text("Empty: only load the model, or unload it with a keep_alive of 0."),
        "suffix": text("What follows the text that is wanted."),
        "system": text("Instead of the model's own system prompt."),
        "template": text("Refused: send `raw` with a prompt that is rendered already."),
        "context": Field("integers", "Of an earlier answer, to go on behind it."),
        "raw": flag("Whether the prompt is taken as it is, without a template.", default=False),
        "images": Field("texts", "Refused: text models only."),
    },
    required=("model",),
)
EMBED = Struct(
    "EmbedRequest",
    "EmbedRequest",
    {
        "model": MODEL,
        "name": _NAME,
        "input": anything(
            "One text or several.",
            anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        ),
        "keep_alive": KEEP_ALIVE,
        "dimensions": integer("Only so many numbers of each vector."),
        "truncate": flag("Whether what does not fit is cut off.", default=True),
    },
    required=("model",),
)
OLDER_EMBED = Struct(
    "EmbeddingRequest",
    "EmbeddingRequest",
    {"model": MODEL, "name": _NAME, "prompt": text(), "keep_alive": KEEP_ALIVE},
    required=("model",),
)
SHOW = Struct(
    "ShowRequest",
    "ShowRequest",
    {"model": MODEL, "name": _NAME, "verbose": flag("Tensors and vocabulary too.", default=False)},
    required=("model",),
)
COPY = Struct(
    "CopyRequest",
    "CopyRequest",
    {"source": text(), "destination": text()},
    required=("source", "destination"),
)
DELETE = Struct(
    "DeleteRequest", "DeleteRequest", {"model": MODEL, "name": _NAME}, required=("model",)
)
PULL = Struct(
    "PullRequest",
    "PullRequest",
    {"model": MODEL, "name": _NAME, "stream": flag("Progress line by line.", default=True)},
    required=("model",),
)
_STORED_MESSAGE = Struct("StoredMessage", "CreateRequest", {"role": text(), "content": text()})
CREATE = Struct(
    "CreateRequest",
    "CreateRequest",
    {
        "model": MODEL,
        "name": _NAME,
        "from": text("The model that it is made from."),
        "files": mapping("File names and the digests of their blobs."),
        "template": text(),
        "system": text(),
        "license": anything(
            "", anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
        ),
        "parameters": nested(OPTIONS),
        "messages": objects(_STORED_MESSAGE, "[]api.Message"),
        "stream": flag("Progress line by line.", default=True),
        "quantize": text("Refused: `localllm quantize` does it."),
        "quantization": text("Refused."),
        "adapters": mapping(
            "Files of one adapter (mlx-lm, PEFT, GGUF), by name: digests of blobs."
        ),
    },
    required=("model",),
)

"""The fields of OpenAI's request bodies, and of the routes beside them that other servers have."""

from app.daemon.ollama.fields import KEEP_ALIVE, MODEL, OPTIONS
from app.daemon.struct import (
    INTEGERS,
    Field,
    Struct,
    anything,
    array,
    flag,
    integer,
    mapping,
    nested,
    number,
    objects,
    text,
)

_TOKEN_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_TEXT_OR_IDS = [
    {"type": "string"},
    {"type": "array", "items": {"type": "string"}, "minItems": 1},
    _TOKEN_IDS,
    {"type": "array", "items": _TOKEN_IDS, "minItems": 1},
]
_STOP = anything(
    "Texts that end the answer.",
    anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
)
_CONTENT = anything(
    "Text, or parts of type text.",
    anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
)
_TOOL_CHOICE = anything(
    "`auto`, `none`, `required`, or a function by its name.",
    anyOf=[{"enum": ["auto", "none", "required"]}, {"type": "object"}],
)
_EFFORT = anything(
    "How hard the model thinks first.",
    enum=["none", "minimal", "low", "medium", "high", "max", "xhigh", "ultra", "", None],
)
_REASONING = Struct("Reasoning", "ChatCompletionRequest", {"effort": _EFFORT})
_FUNCTION = Struct(
    "OpenAIFunctionCall",
    "ChatCompletionRequest",
    {
        "name": text(),
        "arguments": anything("JSON.", anyOf=[{"type": "string"}, {"type": "object"}]),
    },
)
_TOOL_CALL = Struct(
    "OpenAIToolCall", "ChatCompletionRequest", {"id": text(), "function": nested(_FUNCTION)}
)
_TOOL = Struct("OpenAITool", "ChatCompletionRequest", {})
MESSAGE = Struct(
    "OpenAIMessage",
    "ChatCompletionRequest",
    {
        "role": text("system, developer, user, assistant or tool."),
        "content": _CONTENT,
        "reasoning": text("A thought that the assistant had."),
        "reasoning_content": text("Another name for `reasoning`."),
        "name": text("Of the tool whose result this is."),
        "tool_call_id": text("Of a tool's result."),
        "tool_calls": objects(_TOOL_CALL, "[]openai.ToolCall"),
    },
)
_STREAM_OPTIONS = Struct(
    "StreamOptions", "StreamOptions", {"include_usage": anything("Token counts at the end.")}
)
_COMMON: dict[str, Field] = {
    "model": MODEL,
    "adapter": text("A LoRA adapter: a name in the library, or a path; ours."),
    "stream": flag("Server-sent events, or one object.", default=False),
    "stream_options": nested(_STREAM_OPTIONS),
    "keep_alive": KEEP_ALIVE,
    "options": nested(OPTIONS, "Ollama's options; ours here."),
    "logit_bias": mapping("Token ids and what is added to their logits."),
    "n": integer("How many answers.", 1, 128),
    "max_tokens": integer("The longest answer.", 0),
    "max_completion_tokens": integer("The longest answer.", 0),
    "seed": integer(),
    "temperature": number("", 0, 100),
    "top_p": number("", 0, 1),
    "top_k": integer("", 0),
    "min_p": number("", 0, 1),
    "frequency_penalty": number("", -100, 100),
    "presence_penalty": number("", -100, 100),
    "stop": _STOP,
}
_JSON_SCHEMA = Struct(
    "JsonSchemaFormat", "ChatCompletionRequest", {"schema": anything("A JSON Schema.")}
)
FORMAT = Struct(
    "ResponseFormat",
    "ChatCompletionRequest",
    {
        "type": anything("", enum=["text", "json_object", "json_schema"]),
        "json_schema": nested(_JSON_SCHEMA),
        "schema": anything("Of `text.format` in /v1/responses: a JSON Schema."),
    },
)
CHAT_COMPLETION = Struct(
    "ChatCompletionRequest",
    "ChatCompletionRequest",
    {
        **_COMMON,
        "messages": objects(MESSAGE, "[]openai.Message", minItems=1),
        "tools": objects(_TOOL, "[]api.Tool", "Functions that the model may call."),
        "tool_choice": _TOOL_CHOICE,
        "parallel_tool_calls": flag("Whether several at once.", default=True),
        "reasoning": nested(_REASONING),
        "reasoning_effort": _EFFORT,
        "response_format": nested(FORMAT),
        "logprobs": flag("Log-probabilities of the answer's tokens.", default=False),
        "top_logprobs": integer("Of so many likely tokens in each place.", 0, 20),
    },
    required=("model", "messages"),
)
COMPLETION = Struct(
    "CompletionRequest",
    "CompletionRequest",
    {
        **_COMMON,
        "prompt": anything("Text or token ids, one or several.", anyOf=_TEXT_OR_IDS),
        "suffix": text("What follows the text that is wanted."),
        "echo": flag("Whether the prompt stands before the answer.", default=False),
        "logprobs": integer("Log-probabilities, of so many likely tokens in each place.", 0, 20),
        "best_of": integer("Write so many and answer with the `n` likeliest.", 1, 128),
    },
    required=("model",),
)
ITEM = Struct(
    "ResponseItem",
    "ResponsesRequest",
    {
        "type": text("message, reasoning, function_call or function_call_output."),
        "role": text("Of a message."),
        "content": _CONTENT,
        "summary": array("[]openai.Part", "Of a reasoning.", items={"type": "object"}),
        "call_id": text("Of a call or its output."),
        "name": text("Of a call."),
        "arguments": text("Of a call, in JSON."),
        "output": _CONTENT,
    },
)
_FLAT_TOOL = Struct(
    "ResponseTool",
    "ResponsesRequest",
    {
        "type": text("function; others are refused."),
        "name": text(),
        "description": text(),
        "parameters": mapping("A JSON Schema."),
    },
)
_TEXT = Struct("ResponseText", "ResponsesRequest", {"format": nested(FORMAT)})
RESPONSE = Struct(
    "ResponsesRequest",
    "ResponsesRequest",
    {
        "model": MODEL,
        "input": anything(
            "A user's text, or items.",
            anyOf=[
                {"type": "string", "minLength": 1},
                {"type": "array", "items": ITEM.reference, "minItems": 1},
            ],
        ),
        "instructions": text("The system prompt."),
        "previous_response_id": text("Of the response to go on behind."),
        "conversation": anything("Refused: use `previous_response_id`."),
        "background": flag("Refused where true.", default=False),
        "store": flag("Whether it can be found again.", default=True),
        "stream": flag("Server-sent events, or one object.", default=False),
        "max_output_tokens": integer("", 0),
        "temperature": number("", 0, 100),
        "top_p": number("", 0, 1),
        "tools": objects(_FLAT_TOOL, "[]openai.Tool"),
        "tool_choice": _TOOL_CHOICE,
        "parallel_tool_calls": flag(default=True),
        "reasoning": nested(_REASONING),
        "reasoning_effort": _EFFORT,
        "text": nested(_TEXT),
        "truncation": text("auto: old turns may be left out."),
        "metadata": anything("Repeated in the response."),
        "user": anything("Repeated in the response."),
    },
    required=("model", "input"),
)
EMBEDDINGS = Struct(
    "EmbeddingsRequest",
    "EmbedRequest",
    {
        "model": MODEL,
        "input": anything("Text or token ids, one or several.", anyOf=_TEXT_OR_IDS),
        "encoding_format": text("", "float", "base64"),
        "dimensions": integer("Only so many numbers of each vector.", 1),
        "keep_alive": KEEP_ALIVE,
    },
    required=("model", "input"),
)
_DOCUMENT = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["text"]}]}
RERANK = Struct(
    "RerankRequest",
    "RerankRequest",
    {
        "model": MODEL,
        "query": text(),
        "documents": array("[]string", "Texts, or objects with a `text`.", items=_DOCUMENT),
        "top_n": integer("Only the best.", 1),
        "return_documents": flag(default=True),
    },
    required=("model", "query", "documents"),
)
TOKENIZE = Struct(
    "TokenizeRequest",
    "TokenizeRequest",
    {
        "model": MODEL,
        "prompt": text(),
        "content": text("Another name for `prompt`."),
        "text": text("Another name for `prompt`."),
        "add_special_tokens": flag("Whether the first token of a text is added.", default=True),
        "add_special": flag("Another name for `add_special_tokens`.", default=True),
        "with_pieces": flag("The text of each token too.", default=False),
    },
    required=("model",),
)
DETOKENIZE = Struct(
    "DetokenizeRequest",
    "DetokenizeRequest",
    {"model": MODEL, "tokens": INTEGERS},
    required=("model",),
)

"""The OpenAPI document: routes as they are, bodies from the tables that the parsers read by."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.daemon.anthropic import fields as anthropic_fields
from app.daemon.caller import MAX_PRIORITY, PRIORITY_HEADER, TIMEOUT_HEADER
from app.daemon.ollama import fields as ollama_fields
from app.daemon.openai import fields as openai_fields
from app.daemon.reply_schemas import SCHEMAS, ref
from app.daemon.struct import Struct
from localllm import __version__

Json = dict[str, Any]
NDJSON, SSE = "application/x-ndjson", "text/event-stream"


@dataclass(frozen=True)
class Operation:
    """What one route takes and gives."""

    body: Struct | None = None
    reply: str | None = None
    """Its schema's name; None: an empty body."""
    stream: str | None = None
    """The media type of a streamed reply."""
    text_reply: str = ""
    """The media type of a reply that is text."""
    status: int = 200


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("post", "/api/chat"): Operation(ollama_fields.CHAT, "ChatReply", NDJSON),
    ("post", "/api/generate"): Operation(ollama_fields.GENERATE, "GenerateReply", NDJSON),
    ("post", "/api/embed"): Operation(ollama_fields.EMBED, "EmbedReply"),
    ("post", "/api/embeddings"): Operation(ollama_fields.OLDER_EMBED, "EmbeddingReply"),
    ("get", "/api/tags"): Operation(reply="Tags"),
    ("get", "/api/ps"): Operation(reply="Loaded"),
    ("get", "/api/version"): Operation(reply="Version"),
    ("get", "/api/top"): Operation(reply="Top"),
    ("get", "/api/why/{request_id}"): Operation(reply="Why"),
    ("get", "/api/status"): Operation(reply="CloudStatus"),
    ("post", "/api/show"): Operation(ollama_fields.SHOW, "ShowReply"),
    ("post", "/api/copy"): Operation(ollama_fields.COPY),
    ("delete", "/api/delete"): Operation(ollama_fields.DELETE),
    ("post", "/api/pull"): Operation(ollama_fields.PULL, "StatusLine", NDJSON),
    ("post", "/api/create"): Operation(ollama_fields.CREATE, "StatusLine", NDJSON),
    ("post", "/api/blobs/{digest}"): Operation(),
    ("post", "/api/push"): Operation(reply="Error", status=400),
    ("post", "/api/me"): Operation(reply="Error", status=401),
    ("post", "/v1/audio/transcriptions"): Operation(reply="OpenAIError", status=400),
    ("post", "/api/experimental/web_search"): Operation(reply="Error", status=400),
    ("post", "/api/experimental/web_fetch"): Operation(reply="Error", status=400),
    ("get", "/api/experimental/model-recommendations"): Operation(reply="Error", status=400),
    ("post", "/api/signout"): Operation(reply="Error", status=401),
    ("delete", "/api/user/keys/{key}"): Operation(reply="Error", status=401),
    ("post", "/v1/chat/completions"): Operation(
        openai_fields.CHAT_COMPLETION, "ChatCompletion", SSE
    ),
    ("post", "/v1/completions"): Operation(openai_fields.COMPLETION, "Completion", SSE),
    ("post", "/v1/responses"): Operation(openai_fields.RESPONSE, "Response", SSE),
    ("get", "/v1/responses/{response_id}"): Operation(reply="Response"),
    ("delete", "/v1/responses/{response_id}"): Operation(reply="ResponseDeleted"),
    ("get", "/v1/responses/{response_id}/input_items"): Operation(reply="ResponseItems"),
    ("post", "/v1/embeddings"): Operation(openai_fields.EMBEDDINGS, "Embeddings"),
    ("post", "/v1/rerank"): Operation(openai_fields.RERANK, "Ranking"),
    ("post", "/v1/tokenize"): Operation(openai_fields.TOKENIZE, "Tokens"),
    ("post", "/v1/detokenize"): Operation(openai_fields.DETOKENIZE, "Text"),
    ("get", "/v1/models"): Operation(reply="Models"),
    ("get", "/v1/models/{name}"): Operation(reply="Model"),
    ("post", "/v1/messages"): Operation(anthropic_fields.MESSAGES, "AnthropicMessage", SSE),
    ("post", "/v1/messages/count_tokens"): Operation(anthropic_fields.COUNT, "TokenCount"),
    ("get", "/health"): Operation(reply="Health"),
    ("get", "/metrics"): Operation(text_reply="text/plain"),
    ("get", "/"): Operation(text_reply="text/plain"),
}


def make_document(app: FastAPI) -> Json:
    """The document of all routes that `app` has."""
    document = get_openapi(title="localllm", version=__version__, routes=app.routes)
    schemas = dict(SCHEMAS)
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            operation = OPERATIONS[method, path]
            methods[method] = _describe(found, path, operation)
            for name, struct in _structs(operation.body):
                schemas[name] = struct.describe()
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
    }
    document["security"] = [{}, {"bearer": []}, {"header": []}]
    return document


def _structs(body: Struct | None) -> Iterable[tuple[str, Struct]]:
    """Those of a body; what a schema of any kind refers to is among them."""
    if body is None:
        return []
    also = {"ResponsesRequest": openai_fields.ITEM, "MessagesRequest": anthropic_fields.BLOCK}
    extra = also.get(body.go_name)
    return {**body.inner(), **(extra.inner() if extra else {})}.items()


def _describe(found: Json, path: str, operation: Operation) -> Json:
    """An operation of FastAPI's with bodies, headers and errors."""
    content: Json = {}
    if operation.reply is not None:
        content["application/json"] = {"schema": ref(operation.reply)}
    if operation.stream is not None:
        content[operation.stream] = {"schema": {"type": "string"}}
    if operation.text_reply:
        content[operation.text_reply] = {"schema": {"type": "string"}}
    done: Json = {"description": "Done." if operation.status < 400 else "Not offered."}
    responses = {str(operation.status): done | ({"content": content} if content else {})}
    if path == "/api/blobs/{digest}":
        responses["201"] = {"description": "Taken in."}
    error = {"application/json": {"schema": ref(_error_name(path))}}
    responses["default"] = {"description": "Refused, with the reason.", "content": error}
    described = {name: found[name] for name in ("summary", "description", "operationId")}
    parameters = _path_parameters(path) + (_headers() if operation.stream else [])
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        schema = {"application/json": {"schema": operation.body.reference}}
        described["requestBody"] = {"required": True, "content": schema}
    elif path == "/api/blobs/{digest}":
        binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        described["requestBody"] = {"required": True, "content": binary}
    return described | {"responses": responses}


def _error_name(path: str) -> str:
    if path.startswith("/v1/messages"):
        return "AnthropicError"
    return "OpenAIError" if path.startswith("/v1/") else "Error"


def _path_parameters(path: str) -> list[Json]:
    names = re.findall(r"\{(\w+)\}", path)
    text = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in names]


def _headers() -> list[Json]:
    priority = {"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY}
    return [
        {
            "name": PRIORITY_HEADER,
            "in": "header",
            "description": "0 is interactive; larger numbers give way.",
            "schema": priority,
        },
        {
            "name": TIMEOUT_HEADER,
            "in": "header",
            "description": "The longest that the answer may take: `30s`, `5m`.",
            "schema": {"type": "string", "pattern": "^[0-9]+[smh]$"},
        },
    ]

"""The OpenAPI document is true: parsers read what it shows, and replies look as it says."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from app.daemon.anthropic import fields as anthropic_fields
from app.daemon.anthropic.requests import parse_messages_request
from app.daemon.embed_requests import (
    parse_embed,
    parse_older_embed,
    parse_openai_embed,
    parse_rerank,
)
from app.daemon.fields import Fields
from app.daemon.ollama import fields as ollama_fields
from app.daemon.ollama.create_routes import parse_new_model
from app.daemon.ollama.requests import parse_chat, parse_generate
from app.daemon.openai import fields as openai_fields
from app.daemon.openai.requests import parse_chat_completion, parse_completion
from app.daemon.openai.responses_requests import parse_response_request
from app.daemon.openapi import OPERATIONS
from app.daemon.struct import Field, Struct
from models.errors import UserError

USER = {"role": "user", "content": "say 2"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def without_fields(name: str) -> Callable[[Any], Any]:
    """A parser that takes the fields and not the body."""
    return lambda body: parse_new_model(Fields(body, getattr(ollama_fields, name)))


PARSERS: list[tuple[Struct, Callable[[Any], Any], dict[str, Any]]] = [
    (ollama_fields.CHAT, parse_chat, {"model": "m"}),
    (ollama_fields.GENERATE, parse_generate, {"model": "m", "prompt": "x"}),
    (ollama_fields.EMBED, parse_embed, {"model": "m"}),
    (ollama_fields.OLDER_EMBED, parse_older_embed, {"model": "m"}),
    (ollama_fields.CREATE, without_fields("CREATE"), {"model": "m"}),
    (openai_fields.CHAT_COMPLETION, parse_chat_completion, {"model": "m", "messages": [USER]}),
    (openai_fields.COMPLETION, parse_completion, {"model": "m", "prompt": "x", "echo": True}),
    (openai_fields.RESPONSE, parse_response_request, {"model": "m", "input": "x"}),
    (openai_fields.EMBEDDINGS, parse_openai_embed, {"model": "m", "input": "x"}),
    (openai_fields.RERANK, parse_rerank, {"model": "m", "query": "q", "documents": ["d"]}),
    (
        anthropic_fields.MESSAGES,
        parse_messages_request,
        {"model": "m", "max_tokens": 9, "messages": [USER]},
    ),
]
READ_BY_ROUTES = {
    ("CreateRequest", "stream"),
    ("ResponsesRequest", "previous_response_id"),
    ("ResponsesRequest", "metadata"),
    ("ResponsesRequest", "user"),
}
"""What a route reads of the body itself; other tests hold these."""


def example(field: Field) -> Any:
    """A value of the field's kind, with all fields that objects in it have."""
    if field.kind == "objects":
        assert field.struct is not None
        return [fill(field.struct)]
    if field.kind == "object":
        return fill(field.struct) if field.struct is not None else {"a": 1}
    kinds = {"text": "x", "flag": True, "integer": 1, "number": 0.5, "texts": ["x"]}
    return {**kinds, "integers": [1], "array": [{}], "any": "none"}[field.kind]


def fill(struct: Struct) -> dict[str, Any]:
    return {name: example(field) for name, field in struct.fields.items()}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Which fields of which structs were read."""
    seen: set[tuple[str, str]] = set()
    take = Fields._take

    def note(self: Fields, name: str, kind: Any) -> Any:
        seen.add((self._struct.name, name))
        return take(self, name, kind)

    monkeypatch.setattr(Fields, "_take", note)
    return seen


@pytest.mark.parametrize(("struct", "parse", "least"), PARSERS, ids=lambda each: str(each)[:30])
def test_the_parser_reads_every_field_of_its_table(
    struct: Struct, parse: Callable[[Any], Any], least: dict[str, Any], read: set[tuple[str, str]]
) -> None:
    parse(least)
    with suppress(UserError):
        parse({name: value for name, value in least.items() if name != "model"})
    for name, field in struct.fields.items():
        with suppress(UserError):
            parse({**least, name: example(field)})
    if struct is ollama_fields.GENERATE:
        parse({**least, "prompt": "x", "images": []})
    unread = {(struct.name, name) for name in struct.fields} - read - READ_BY_ROUTES
    assert unread == set()


def test_the_inner_tables_are_read_too(read: set[tuple[str, str]]) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {}}}
    message = {**USER, "tool_calls": [call], "tool_call_id": "c", "images": []}
    parse_chat({"model": "m", "messages": [message]})
    kinds = {"type": "json_schema", "json_schema": {"schema": {}}}
    parse_chat_completion({"model": "m", "messages": [message], "response_format": kinds})
    items = [
        {"type": "message", **USER},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ]
    tools = [{"type": "function", "name": "f"}]
    parse_response_request({"model": "m", "input": items, "tools": tools})
    blocks = [
        {"type": "text", "text": "x"},
        {"type": "thinking", "thinking": "x"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        {"type": "tool_result", "tool_use_id": "c", "content": "x"},
    ]
    least = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}]}
    for kind in ("tool", "any"):
        asked = {"tools": [{"name": "f"}], "tool_choice": {"type": kind, "name": "f"}}
        parse_messages_request({**least, **asked})
    structs = [struct for top, _, _ in PARSERS for struct in top.inner().values()]
    structs += [openai_fields.ITEM, anthropic_fields.BLOCK]
    passed_on = {"Options", "StoredMessage", *(top.name for top, _, _ in PARSERS)}
    known = {(s.name, name) for s in structs for name in s.fields if s.name not in passed_on}
    assert known - read == set()


def check(value: Any, schema: dict[str, Any], schemas: dict[str, Any], at: str) -> None:
    """Assert that `value` is as `schema` says, and has no field that it does not name."""
    if "$ref" in schema:
        check(value, schemas[schema["$ref"].rpartition("/")[2]], schemas, at)
    elif "anyOf" in schema:
        assert any(fits(value, each, schemas, at) for each in schema["anyOf"]), at
    elif "enum" in schema:
        assert value in schema["enum"], at
    elif "type" in schema:
        kind = KINDS[schema["type"]]
        assert isinstance(value, kind), f"{at}: {value!r}"
        if kind is dict:
            check_fields(value, schema, schemas, at)
        for each in value if kind is list else ():
            check(each, schema["items"], schemas, f"{at}[]")


KINDS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}


def check_fields(
    value: dict[str, Any], schema: dict[str, Any], schemas: dict[str, Any], at: str
) -> None:
    assert set(schema.get("required", ())) <= set(value), f"{at}: {sorted(value)}"
    properties = schema.get("properties")
    for name, each in value.items() if properties is not None else ():
        assert name in properties, f"{at}.{name} is not in the document"
        check(each, properties[name], schemas, f"{at}.{name}")


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any], at: str) -> bool:
    try:
        check(value, schema, schemas, at)
    except AssertionError:
        return False
    return True


WISHES = {"think": True, "logprobs": True, "top_logprobs": 1, "options": {"num_predict": 3}}
CALLS: list[tuple[str, str, Any]] = [
    ("post", "/api/chat", {"messages": [{**USER, "content": "say 2 think call"}], **WISHES}),
    ("post", "/api/generate", {"prompt": "say 2", **WISHES}),
    ("post", "/api/generate", {"prompt": ""}),
    ("post", "/api/embed", {"input": ["x", "y"]}),
    ("post", "/api/embeddings", {"prompt": "x"}),
    ("get", "/api/tags", None),
    ("get", "/api/ps", None),
    ("get", "/api/version", None),
    ("get", "/api/top", None),
    ("get", "/api/status", None),
    ("post", "/api/show", {"verbose": True}),
    ("post", "/api/show", {"model": "nobody"}),
    ("post", "/api/me", {}),
    ("post", "/api/push", {}),
    ("post", "/v1/audio/transcriptions", {}),
    ("post", "/api/experimental/web_search", {}),
    ("post", "/api/experimental/web_fetch", {}),
    ("get", "/api/experimental/model-recommendations", None),
    ("post", "/v1/chat/completions", {"messages": [USER], "logprobs": True, "n": 2}),
    ("post", "/v1/chat/completions", {"messages": [{**USER, "content": "say 3 think call"}]}),
    ("post", "/v1/chat/completions", {"messages": 3}),
    ("post", "/v1/completions", {"prompt": ["say 1"], "logprobs": 1}),
    ("post", "/v1/responses", {"input": "say 3 think call"}),
    ("post", "/v1/embeddings", {"input": "x"}),
    ("post", "/v1/embeddings", {"input": "x", "encoding_format": "base64"}),
    ("post", "/v1/tokenize", {"prompt": "ab", "with_pieces": True}),
    ("post", "/v1/detokenize", {"tokens": [97]}),
    ("get", "/v1/models", None),
    ("get", "/v1/models/{name}", None),
    ("post", "/v1/messages", {"messages": [{**USER, "content": "say 3 think call"}]}),
    ("post", "/v1/messages", {"messages": []}),
    ("post", "/v1/messages/count_tokens", {"messages": [USER]}),
    ("get", "/health", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=lambda each: str(each)[:40])
def test_replies_look_as_the_document_says(
    shared_daemon, method: str, path: str, body: Any
) -> None:
    document = shared_daemon.get("/openapi.json").json
    if body is not None:
        body = {"model": "pocket", "stream": False, "max_tokens": 9, **body}
    reply = shared_daemon.call(method.upper(), path.replace("{name}", "pocket"), body)
    responses = document["paths"][path][method]["responses"]
    described = responses.get(str(reply.status), responses["default"])
    schema = described["content"]["application/json"]["schema"]
    check(reply.json, schema, document["components"]["schemas"], path)


def test_each_line_of_a_stream_is_a_reply(shared_daemon) -> None:
    schemas = shared_daemon.get("/openapi.json").json["components"]["schemas"]
    body = {"model": "pocket", "messages": [{**USER, "content": "say 3 think call"}], **WISHES}
    lines = shared_daemon.post("/api/chat", body).lines
    assert len(lines) > 2
    for line in lines:
        check(line, schemas["ChatReply"], schemas, "line")


def test_every_route_is_described_and_every_reference_leads_somewhere(shared_daemon) -> None:
    document = shared_daemon.get("/openapi.json").json
    found = {(m, path) for path, methods in document["paths"].items() for m in methods}
    assert found == set(OPERATIONS)
    text = shared_daemon.get("/openapi.json").body.decode()
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names <= set(document["components"]["schemas"])
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]

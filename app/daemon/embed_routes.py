"""Embeddings in Ollama's two forms and OpenAI's."""

import base64
import math
import struct
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.answer import Answering
from app.daemon.encoder import Json
from app.daemon.fields import Fields
from app.daemon.model_worker import ModelSource
from app.daemon.ollama_requests import parse_keep_alive_field, parse_model_field
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply
from app.durations import nanoseconds
from app.protocol import Embed, Embedded
from models.errors import InvalidInput, NotFound

router = APIRouter()


@router.post("/api/embed")
async def embed(request: Request) -> Response:
    """Unit vectors of one or several texts."""
    state = state_of(request)
    fields = Fields(await read_body(request), "EmbedRequest")
    name = parse_model_field(fields)
    texts = _parse_input(fields.values.get("input"))
    source = state.catalog.find(name)
    if not texts:
        return JSONReply({"model": name, "embeddings": []})
    truncate = fields.flag("truncate", default=True)
    keep_alive_s = parse_keep_alive_field(fields)
    found, answering = await _embed(request, source, texts, keep_alive_s, truncate=truncate)
    vectors = [shorten(vector, fields.integer("dimensions")) for vector in found.vectors]
    return JSONReply(
        {
            "model": name,
            "embeddings": vectors,
            "total_duration": nanoseconds(answering.elapsed_s),
            "load_duration": nanoseconds(answering.load_s),
            "prompt_eval_count": found.num_prompt_tokens,
        }
    )


@router.post("/api/embeddings")
async def embeddings(request: Request) -> Response:
    """The older form: one text, one vector."""
    state = state_of(request)
    fields = Fields(await read_body(request), "EmbeddingRequest")
    name, prompt = parse_model_field(fields), fields.text("prompt")
    try:
        source = state.catalog.find(name)
    except NotFound as error:
        text = f'model "{name}" not found, try pulling it first'
        raise NotFound(text, hint=error.hint) from error
    if not prompt:
        return JSONReply({"embedding": []})
    keep_alive_s = parse_keep_alive_field(fields)
    found, _ = await _embed(request, source, [prompt], keep_alive_s, truncate=True)
    return JSONReply({"embedding": found.vectors[0]})


@router.post("/v1/embeddings")
async def openai_embeddings(request: Request) -> Response:
    """OpenAI's form, as numbers or as base64 of little-endian floats."""
    state = state_of(request)
    fields = Fields(await read_body(request), "EmbedRequest")
    name = fields.text("model")
    texts = _parse_input(fields.values.get("input"))
    if not texts:
        raise InvalidInput("input must be a string or an array of strings")
    found, _ = await _embed(request, state.catalog.find(name), texts, None, truncate=True)
    as_text = fields.text("encoding_format", "float") == "base64"
    data = [
        {"object": "embedding", "embedding": _packed(vector) if as_text else vector, "index": index}
        for index, vector in enumerate(
            shorten(vector, fields.integer("dimensions")) for vector in found.vectors
        )
    ]
    usage = {"prompt_tokens": found.num_prompt_tokens, "total_tokens": found.num_prompt_tokens}
    body: Json = {"object": "list", "data": data, "model": name, "usage": usage}
    return JSONReply(body)


async def _embed(
    request: Request,
    source: ModelSource,
    texts: Sequence[str],
    keep_alive_s: float | None,
    *,
    truncate: bool,
) -> tuple[Embedded, Answering]:
    state = state_of(request)
    asked = Embed(uuid.uuid4().hex, texts, truncate)
    caller = state.caller_of(request)
    async with state.answering(caller, source, [asked], keep_alive_s) as answering:
        while not answering.is_finished:
            await answering.take()
    result = answering.answers[asked.id].result
    assert isinstance(result, Embedded)
    return result, answering


def _parse_input(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise InvalidInput("invalid input type")


def shorten(vector: Sequence[float], dimensions: int | None) -> list[float]:
    """The first `dimensions` numbers, made a unit vector again; all when there are no more.

    >>> shorten([0.6, 0.0, 0.8], 1)
    [1.0]
    """
    if dimensions is None or not 0 < dimensions < len(vector):
        return list(vector)
    head = vector[:dimensions]
    length = math.sqrt(sum(x * x for x in head))
    return [x / length for x in head] if length else list(head)


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

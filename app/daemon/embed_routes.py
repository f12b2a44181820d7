"""Embeddings in Ollama's two forms and OpenAI's, and ranking by them."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.answering import Answering
from app.daemon.embed_replies import (
    write_embed,
    write_older_embed,
    write_openai_embed,
    write_rerank,
)
from app.daemon.embed_requests import (
    parse_embed,
    parse_older_embed,
    parse_openai_embed,
    parse_rerank,
)
from app.daemon.encoder import Json, Times
from app.daemon.reply import ResultReply
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply
from app.daemon.workers.model_worker import ModelSource
from app.protocol import Embed, Embedded
from models.errors import NotFound, Unsupported

router = APIRouter()


@router.post("/api/embed")
async def embed(request: Request) -> Response:
    """Unit vectors of one or several texts."""
    asked = parse_embed(await read_body(request))
    source = state_of(request).catalog.find(asked.model)
    if not asked.texts:
        await _load(request, source, asked.keep_alive_s)
        return JSONReply({"model": asked.model, "embeddings": []})

    def write(found: Embedded, times: Times) -> Json:
        return write_embed(asked, found, times)

    return _embed(request, source, asked.embed, write, asked.keep_alive_s)


@router.post("/api/embeddings")
async def embeddings(request: Request) -> Response:
    """The older form: one text, one vector."""
    asked = parse_older_embed(await read_body(request))
    try:
        source = state_of(request).catalog.find(asked.model)
    except NotFound as error:
        text = f'model "{asked.model}" not found, try pulling it first'
        raise NotFound(text, hint=error.hint) from error
    if not asked.texts:
        await _load(request, source, asked.keep_alive_s)
        return JSONReply({"embedding": []})

    def write(found: Embedded, _times: Times) -> Json:
        return write_older_embed(found)

    return _embed(request, source, asked.embed, write, asked.keep_alive_s)


@router.post("/v1/embeddings")
async def openai_embeddings(request: Request) -> Response:
    """OpenAI's form, as numbers or as base64 of little-endian floats."""
    asked = parse_openai_embed(await read_body(request))
    source = state_of(request).catalog.find(asked.model)

    def write(found: Embedded, _times: Times) -> Json:
        return write_openai_embed(asked, found)

    return _embed(request, source, asked.embed, write, asked.keep_alive_s)


@router.post("/v1/rerank")
async def rerank(request: Request) -> Response:
    """Documents in the order of their likeness to a query, by an embedding model."""
    asked = parse_rerank(await read_body(request))
    catalog = state_of(request).catalog
    source = catalog.find(asked.model)
    if "embedding" not in catalog.details(source.files).capabilities:
        raise Unsupported(f'"{asked.model}" does not support rerank', hint="use an embedding model")

    def write(found: Embedded, _times: Times) -> Json:
        return write_rerank(asked, found)

    return _embed(request, source, asked.embed, write, None)


def _embed(
    request: Request,
    source: ModelSource,
    asked: Embed,
    write: Callable[[Embedded, Times], Json],
    keep_alive_s: float | None,
) -> Response:
    def write_result(answering: Answering) -> Json:
        result = answering.answers[asked.id].result
        assert isinstance(result, Embedded)
        return write(result, Times(answering.elapsed_s, answering.load_s))

    state = state_of(request)
    answering = state.answering(state.caller_of(request), source, [asked], keep_alive_s)
    return ResultReply(answering, write_result)


async def _load(request: Request, source: ModelSource, keep_alive_s: float | None) -> None:
    """What an empty input is for."""
    state = state_of(request)
    caller = state.caller_of(request)
    async with state.answering(caller, source, [], keep_alive_s) as answering:
        await answering.load()

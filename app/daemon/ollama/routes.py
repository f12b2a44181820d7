"""Ollama's routes that make text: `/api/chat`, `/api/generate`, `/api/embed`."""

from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.ollama.replies import OllamaEncoder
from app.daemon.ollama.requests import (
    TextRequest,
    check_capabilities,
    parse_chat,
    parse_generate,
    to_generates,
)
from app.daemon.reply import AnswerReply
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply

router = APIRouter()


@router.post("/api/chat")
async def chat(request: Request) -> Response:
    """The next message of a conversation."""
    return await _answer(request, parse_chat(await read_body(request)), is_chat=True)


@router.post("/api/generate")
async def generate(request: Request) -> Response:
    """The continuation of a prompt."""
    parsed = parse_generate(await read_body(request))
    return await _answer(request, parsed, is_chat=False)


async def _answer(request: Request, asked: TextRequest, *, is_chat: bool) -> Response:
    state = state_of(request)
    caller = state.caller_of(request)
    source = state.catalog.find(asked.model, asked.adapter, asked.draft, asked.kv_type)
    capabilities = state.catalog.details(source.files).capabilities
    check_capabilities(asked, source.files.name, capabilities)
    with_context = not (is_chat or asked.raw)
    encoder = OllamaEncoder(asked.model, is_chat=is_chat, with_context=with_context)
    if asked.is_empty and asked.keep_alive_s == 0:
        await state.pool.unload(source)
        return JSONReply(encoder.loaded("unload"))
    if asked.is_empty:
        async with state.answering(caller, source, [], asked.keep_alive_s) as answering:
            await answering.load()
        return JSONReply(encoder.loaded("load"))
    generates = to_generates(asked, source.files)
    if with_context:
        generates = [replace(each, return_prompt_ids=True) for each in generates]
    answering = state.answering(caller, source, generates, asked.keep_alive_s)
    return AnswerReply(answering, encoder, stream=asked.stream)

"""Anthropic's routes."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.answer import Answering
from app.daemon.anthropic_replies import MessageEncoder
from app.daemon.anthropic_requests import parse_messages_request
from app.daemon.ollama_requests import TextRequest, check_capabilities, to_generates
from app.daemon.openai_routes import relax_thinking
from app.daemon.reply import AnswerReply
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply

router = APIRouter()


@router.post("/v1/messages")
async def messages(request: Request) -> Response:
    """The next message of a conversation."""
    asked = parse_messages_request(await read_body(request))
    answering = _answering(request, asked)
    return AnswerReply(answering, MessageEncoder(asked.model), stream=asked.stream)


@router.post("/v1/messages/count_tokens")
async def count_tokens(request: Request) -> Response:
    """How many tokens a conversation would have."""
    body = await read_body(request)
    asked = parse_messages_request({"max_tokens": 1, **body})
    async with _answering(request, asked) as answering:
        (answer,) = answering.answers.values()
        while answer.started is None:
            await answering.take()
    return JSONReply({"input_tokens": answer.started.num_prompt_tokens})


def _answering(request: Request, asked: TextRequest) -> Answering:
    state = state_of(request)
    source = state.catalog.find(asked.model, asked.adapter)
    capabilities = state.catalog.details(source.files).capabilities
    asked = relax_thinking(asked, capabilities)
    check_capabilities(asked, source.files.name, capabilities)
    return state.answering(state.caller_of(request), source, to_generates(asked, source.files))

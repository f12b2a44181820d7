"""Anthropic's routes."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.answering import Answering
from app.daemon.anthropic.replies import MessageEncoder
from app.daemon.anthropic.requests import parse_messages_request
from app.daemon.encoder import Json
from app.daemon.ollama.requests import TextRequest, check_capabilities, to_generates
from app.daemon.openai.routes import relax_thinking
from app.daemon.reply import AnswerReply, ResultReply
from app.daemon.state import read_body, state_of
from app.protocol import Started

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
    return ResultReply(_answering(request, asked), _count, lambda each: _started(each) is not None)


def _started(answering: Answering) -> Started | None:
    (answer,) = answering.answers.values()
    return answer.started


def _count(answering: Answering) -> Json:
    started = _started(answering)
    assert started is not None
    return {"input_tokens": started.num_prompt_tokens}


def _answering(request: Request, asked: TextRequest) -> Answering:
    state = state_of(request)
    source = state.catalog.find(asked.model, asked.adapter)
    capabilities = state.catalog.details(source.files).capabilities
    asked = relax_thinking(asked, capabilities)
    check_capabilities(asked, source.files.name, capabilities)
    return state.answering(state.caller_of(request), source, to_generates(asked, source.files))

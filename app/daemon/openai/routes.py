"""OpenAI's routes."""

from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.encoder import Encoder, Json
from app.daemon.ollama.requests import TextRequest, check_capabilities, to_generates
from app.daemon.openai.completion_replies import CompletionEncoder
from app.daemon.openai.replies import ChatCompletionEncoder
from app.daemon.openai.requests import OpenAIRequest, parse_chat_completion, parse_completion
from app.daemon.reply import AnswerReply
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply
from app.protocol import Generate
from models.errors import NotFound
from models.name import ModelName
from models.store.manifest import Manifest

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat_completions(request: Request) -> Response:
    """The next message of a conversation."""
    asked = parse_chat_completion(await read_body(request))
    return _answer(request, asked, is_chat=True)


@router.post("/v1/completions")
async def completions(request: Request) -> Response:
    """The continuation of one or several prompts."""
    return _answer(request, parse_completion(await read_body(request)), is_chat=False)


@router.get("/v1/models")
async def models(request: Request) -> Response:
    """The models of the library."""
    manifests = state_of(request).catalog.models()
    return JSONReply({"object": "list", "data": [_model(each) for each in manifests]})


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> Response:
    """One model of the library."""
    found = state_of(request).catalog.library.find(ModelName.parse(name))
    if found is None:
        raise NotFound(f"model '{name}' not found")
    return JSONReply(_model(found))


def _model(manifest: Manifest) -> Json:
    created = int(manifest.created.timestamp())
    return {"id": manifest.name, "object": "model", "created": created, "owned_by": "library"}


def _answer(request: Request, asked: OpenAIRequest, *, is_chat: bool) -> Response:
    state, first = state_of(request), asked.first
    source = state.catalog.find(first.model, first.adapter, first.draft)
    capabilities = state.catalog.details(source.files).capabilities
    texts = [relax_thinking(text, capabilities) for text in asked.texts]
    generates: list[Generate] = []
    for text in texts:
        check_capabilities(text, source.files.name, capabilities)
        generates += to_generates(text, source.files)
    request_ids = [each.id for each in generates]
    encoder: Encoder
    if is_chat:
        encoder = ChatCompletionEncoder(first.model, request_ids, include_usage=asked.include_usage)
    else:
        echoes = [each.prompt for each in generates] if asked.echo else []
        encoder = CompletionEncoder(
            first.model,
            request_ids,
            include_usage=asked.include_usage,
            echoes=echoes,
            only_prompt=asked.only_prompt,
            num_best=asked.num_best,
            shows_logprobs=asked.shows_logprobs,
        )
    answering = state.answering(state.caller_of(request), source, generates, first.keep_alive_s)
    return AnswerReply(answering, encoder, stream=first.stream)


def relax_thinking(text: TextRequest, capabilities: tuple[str, ...]) -> TextRequest:
    """Without the wish to think where the model cannot: these clients send it by default."""
    return text if "thinking" in capabilities else replace(text, think=None)

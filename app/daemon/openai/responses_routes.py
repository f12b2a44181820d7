"""OpenAI's `/v1/responses`: making one, going on behind it, looking it up again."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.ollama.requests import check_capabilities, to_generates
from app.daemon.openai.response_store import StoredResponse
from app.daemon.openai.responses_replies import ResponseEncoder
from app.daemon.openai.responses_requests import parse_response_request
from app.daemon.openai.routes import relax_thinking
from app.daemon.reply import AnswerReply
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply
from models.errors import InvalidInput

router = APIRouter()


@router.post("/v1/responses")
async def responses(request: Request) -> Response:
    """A response to input items, and to what went before them."""
    state = state_of(request)
    body = await read_body(request)
    caller, previous_id = state.caller_of(request), body.get("previous_response_id")
    if not isinstance(previous_id, str | None):
        raise InvalidInput("previous_response_id must be a string")
    store = state.responses
    previous = store.previous_items(previous_id, caller.client) if previous_id else ()
    asked = parse_response_request(body, previous)
    source = state.catalog.find(asked.text.model)
    capabilities = state.catalog.details(source.files).capabilities
    text = relax_thinking(asked.text, capabilities)
    check_capabilities(text, source.files.name, capabilities)
    answering = state.answering(caller, source, to_generates(text, source.files))
    encoder = ResponseEncoder(asked)

    def keep() -> None:
        if asked.store:
            items = [*asked.items, *encoder.finished["output"]]
            num_own_items = len(asked.items) - len(previous)
            store.put(StoredResponse(caller.client, encoder.finished, items, num_own_items))

    return AnswerReply(answering, encoder, stream=text.stream, on_end=keep)


@router.get("/v1/responses/{response_id}")
async def find_response(request: Request, response_id: str) -> Response:
    """A response that was made before."""
    return JSONReply(_find(request, response_id).body)


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(request: Request, response_id: str) -> Response:
    """What the request for a response brought."""
    items = [*_find(request, response_id).input_items]
    return JSONReply({"object": "list", "data": items, "has_more": False})


@router.delete("/v1/responses/{response_id}")
async def delete_response(request: Request, response_id: str) -> Response:
    """Forget a response."""
    state = state_of(request)
    state.responses.delete(response_id, state.caller_of(request).client)
    return JSONReply({"id": response_id, "object": "response", "deleted": True})


def _find(request: Request, response_id: str) -> StoredResponse:
    state = state_of(request)
    return state.responses.get(response_id, state.caller_of(request).client)

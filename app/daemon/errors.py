"""How errors outside an answer reach a client: each path prefix in its own API's shape."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.daemon import anthropic_replies, ollama_replies, openai_replies
from app.daemon.encoder import Json
from app.daemon.watched_reply import JSONReply
from models.errors import UserError

log = logging.getLogger("localllm.daemon")


async def answer_user_error(request: Request, error: Exception) -> Response:
    """A mistake of the client's, or a state of ours that it should know."""
    assert isinstance(error, UserError)
    headers = {"retry-after": "1"} if error.status == 503 else {}
    return JSONReply(_body(request, error), status_code=error.status, headers=headers)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """An unknown path or method."""
    del request
    assert isinstance(error, HTTPException)
    text = (
        "404 page not found" if error.status_code == 404 else f"{error.status_code} {error.detail}"
    )
    return PlainTextResponse(text.lower(), error.status_code, headers=error.headers)


async def answer_defect(request: Request, error: Exception) -> Response:
    """A defect of ours: the log has the traceback."""
    del error
    defect = UserError("internal server error", hint="the daemon's log has the details")
    return JSONReply(_body(request, defect), status_code=500)


def _body(request: Request, error: UserError) -> Json:
    path = request.url.path
    if path.startswith("/v1/messages"):
        return anthropic_replies.error_body(error)
    is_openai = path.startswith("/v1/")
    return openai_replies.error_body(error) if is_openai else ollama_replies.error_body(error)

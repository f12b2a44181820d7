"""How errors outside an answer reach a client: each path prefix in its own API's shape."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.daemon.anthropic import replies as anthropic_replies
from app.daemon.encoder import Json
from app.daemon.ollama import replies as ollama_replies
from app.daemon.openai import replies as openai_replies
from app.daemon.watched_reply import JSONReply
from models.errors import UserError

log = logging.getLogger("localllm.daemon")


async def answer_user_error(request: Request, error: Exception) -> Response:
    """A mistake of the client's, or a state of ours that it should know."""
    assert isinstance(error, UserError)
    return error_reply(request.url.path, error)


def error_reply(path: str, error: UserError) -> Response:
    """An error as the answer to a request for `path`."""
    headers = {503: {"retry-after": "1"}, 401: {"www-authenticate": "Bearer"}}
    body = _body(path, error)
    return JSONReply(body, status_code=error.status, headers=headers.get(error.status))


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
    return JSONReply(_body(request.url.path, defect), status_code=500)


def _body(path: str, error: UserError) -> Json:
    if path.startswith("/v1/messages"):
        return anthropic_replies.error_body(error)
    is_openai = path.startswith("/v1/")
    return openai_replies.error_body(error) if is_openai else ollama_replies.error_body(error)

"""Routes of Ollama that this server answers without doing what they are for."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.watched_reply import JSONReply
from models.errors import Unsupported

router = APIRouter()


@router.get("/api/status")
async def status() -> Response:
    """No cloud."""
    return JSONReply({"cloud": {"disabled": True, "source": "none"}})


@router.post("/api/me")
@router.post("/api/signout")
@router.delete("/api/user/keys/{key}")
async def account(request: Request) -> Response:
    """There are no accounts."""
    del request
    return JSONReply({"error": "unauthorized"}, status_code=401)


@router.post("/api/push")
async def push() -> Response:
    """Nothing leaves this machine."""
    raise Unsupported("push is not supported", hint="upload the files with the Hub's own tools")


@router.post("/v1/audio/transcriptions")
async def transcribe() -> Response:
    """No model here hears."""
    raise Unsupported("audio is not supported", hint="this server runs text models only")


@router.post("/api/experimental/web_search")
@router.post("/api/experimental/web_fetch")
@router.get("/api/experimental/model-recommendations")
async def experiment() -> Response:
    """These belong to a service elsewhere."""
    raise Unsupported("this belongs to Ollama's cloud, which is not asked")

"""How the daemon is: `/health` for whoever supervises it, `/metrics` for Prometheus."""

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.daemon.metrics import format_metrics, list_metrics
from app.daemon.state import state_of
from app.daemon.watched_reply import JSONReply
from localllm import __version__

router = APIRouter()


@router.get("/health")
async def health(request: Request) -> Response:
    """Alive, since when, and how busy."""
    state = state_of(request)
    return JSONReply(
        {
            "status": "ok",
            "version": __version__,
            "uptime_s": round(time.monotonic() - state.begun_s, 3),
            "requests": state.num_requests,
            "models": [worker.source.files.name for worker in state.pool.workers],
        }
    )


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counts and times in Prometheus' text format."""
    text = format_metrics(list_metrics(state_of(request)))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

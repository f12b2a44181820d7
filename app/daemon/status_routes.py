"""How the daemon is: `/health` for whoever supervises it, `/metrics` for Prometheus."""

import time
from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.daemon.metrics import format_metrics, list_metrics
from app.daemon.request_id import new_answer_ids
from app.daemon.state import State, state_of
from app.daemon.watched_reply import JSONReply
from app.protocol import Generate
from engine.request import SamplingParams
from localllm import __version__
from models.bundled import BUNDLED_NAME
from models.errors import UserError

DEEP_TOKENS = 4
DEEP_TIMEOUT_S = 30.0

router = APIRouter()


@router.get("/health")
async def health(request: Request) -> Response:
    """Alive, since when, and how busy; with `deep=1` each loaded model has to write tokens.

    Where none is loaded, the bundled one is asked. 503 when one of them fails.
    """
    state = state_of(request)
    spoken = await _speak(request, state) if request.query_params.get("deep") == "1" else {}
    is_well = all(isinstance(outcome, float) for outcome in spoken.values())
    reply = {
        "status": "ok" if is_well else "failed",
        "version": __version__,
        "uptime_s": round(time.monotonic() - state.begun_s, 3),
        "requests": state.num_requests,
        "models": [worker.source.files.name for worker in state.pool.workers],
    }
    return JSONReply(reply | ({"deep": spoken} if spoken else {}), 200 if is_well else 503)


async def _speak(request: Request, state: State) -> dict[str, float | str]:
    """Seconds that each model took for a few tokens, or why it wrote none."""
    sources = [worker.source for worker in state.pool.workers]
    sources = sources or [state.catalog.find(BUNDLED_NAME.display)]
    caller = replace(state.caller_of(request), timeout_s=DEEP_TIMEOUT_S)
    spoken: dict[str, float | str] = {}
    for source in sources:
        asked = Generate(
            id=new_answer_ids(1)[0], prompt="1 2 3", sampling=SamplingParams(max_tokens=DEEP_TOKENS)
        )
        try:
            async with state.answering(caller, source, [asked]) as answering:
                while not answering.is_finished:
                    await answering.take()
                spoken[source.files.name] = round(answering.elapsed_s, 3)
        except UserError as error:
            spoken[source.files.name] = error.message
    return spoken


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counts and times in Prometheus' text format."""
    text = format_metrics(list_metrics(state_of(request)))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

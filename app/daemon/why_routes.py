"""`/api/why`: what of a late request's prompt was reused, and why no more."""

import uuid

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.event_queue import EventQueue, WorkerDied
from app.daemon.request_id import first_answer_id
from app.daemon.state import state_of
from app.daemon.watched_reply import JSONReply
from app.daemon.workers.worker_process import WorkerProcess
from app.protocol import Explain, Explained
from models.errors import NotFound

router = APIRouter()

_PATIENCE_S = 30.0
"""For a worker in a long step."""


@router.get("/api/why/{request_id}")
async def why(request: Request, request_id: str) -> Response:
    """A request by the id in `x-request-id` or, of a chat completion, in `id`."""
    known = first_answer_id(request_id)
    for worker in state_of(request).pool.workers:
        if worker.process is None or not worker.is_loaded:
            continue
        found = await _ask(worker.process, known)
        if found is not None:
            body = {name: value for name, value in vars(found).items() if name != "id"}
            return JSONReply({"model": worker.source.files.name, **body})
    raise NotFound(
        f"no request '{request_id}' is known to a loaded model",
        hint="answers carry their id in the header x-request-id; a model knows its last 256 "
        "requests for as long as it is loaded",
    )


async def _ask(process: WorkerProcess, request_id: str) -> Explained | None:
    ask_id, queue = uuid.uuid4().hex, EventQueue()
    process.open(ask_id, queue)
    process.send(Explain(ask_id, request_id))
    try:
        events = await queue.take(_PATIENCE_S)
    except WorkerDied:
        return None
    finally:
        process.finish(ask_id)
    return next((event for event in events if isinstance(event, Explained)), None)

"""`/api/pull`: a download into the library, followed line by line."""

from contextlib import closing

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.encoder import Json
from app.daemon.fields import Fields
from app.daemon.lines_reply import LinesReply, Say
from app.daemon.ollama.fields import PULL
from app.daemon.ollama.requests import parse_model_field
from app.daemon.state import read_body, state_of
from models.errors import InvalidInput
from models.hub.pull import PullProgress, pull
from models.name import ModelName

router = APIRouter()


@router.post("/api/pull")
async def pull_model(request: Request) -> Response:
    """Fetch a model; what has come stays when the client leaves, and the next pull goes on."""
    fields = Fields(await read_body(request), PULL)
    try:
        name = ModelName.parse(parse_model_field(fields))
    except InvalidInput as error:
        raise InvalidInput("invalid model name", hint=error.hint) from error
    library = state_of(request).catalog.library

    def work(say: Say) -> None:
        with closing(pull(name, library)) as progress:
            for event in progress:
                say(_line(event))

    return LinesReply(work, stream=fields.flag("stream", default=True))


def _line(event: PullProgress) -> Json:
    line: Json = {"status": event.status}
    if event.digest is not None:
        line["digest"] = event.digest
    if event.total_bytes:
        line["total"] = event.total_bytes
    if event.completed_bytes:
        line["completed"] = event.completed_bytes
    return line

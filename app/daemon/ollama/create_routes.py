"""`/api/create` and `/api/blobs`: models made from others, or from uploaded files."""

import asyncio
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.daemon.fields import Fields
from app.daemon.lines_reply import LinesReply, Say
from app.daemon.ollama.fields import CREATE
from app.daemon.ollama.options import check_options
from app.daemon.ollama.requests import parse_model_field
from app.daemon.request_log import CLIENT_LEFT
from app.daemon.state import read_body, state_of
from models.create import NewModel, create_model
from models.errors import InvalidInput, NotFound, Unsupported
from models.name import ModelName
from models.store.blobs import parse_digest

router = APIRouter()


@router.post("/api/create")
async def create(request: Request) -> Response:
    """Make a model; what the Modelfile of a client says comes as JSON."""
    fields = Fields(await read_body(request), CREATE)
    new = parse_new_model(fields)
    library = state_of(request).catalog.library

    def work(say: Say) -> None:
        create_model(new, library, say=lambda status: say({"status": status}))

    return LinesReply(work, stream=fields.flag("stream", default=True))


@router.head("/api/blobs/{digest}", include_in_schema=False)
async def has_blob(request: Request, digest: str) -> Response:
    """Whether a content is here."""
    if not state_of(request).catalog.library.blobs.has(parse_digest(digest)):
        raise NotFound(f'blob "{digest}" not found')
    return Response()


@router.post("/api/blobs/{digest}")
async def take_blob(request: Request, digest: str) -> Response:
    """Take a file in, if its content is what its name says."""
    blobs = state_of(request).catalog.library.blobs
    expected = parse_digest(digest)
    if blobs.has(expected):
        return Response()
    loop = asyncio.get_running_loop()
    stream = request.stream()

    async def next_piece() -> bytes:
        return await anext(stream, b"")

    def pieces() -> Iterator[bytes]:
        while piece := asyncio.run_coroutine_threadsafe(next_piece(), loop).result():
            yield piece

    try:
        await asyncio.to_thread(blobs.write, pieces(), expected=expected)
    except ClientDisconnect:
        return Response(status_code=CLIENT_LEFT)
    return Response(status_code=201)


def parse_new_model(fields: Fields) -> NewModel:
    """What to make.

    Raises:
        InvalidInput, Unsupported: in Ollama's words where it has any.
    """
    try:
        name = ModelName.parse(parse_model_field(fields))
    except InvalidInput as error:
        raise InvalidInput("invalid model name", hint=error.hint) from error
    if fields.text("quantize") or fields.text("quantization"):
        raise Unsupported(
            "quantize is not supported", hint="pull or create from a quantized file instead"
        )
    return NewModel(
        name,
        base=fields.text("from") or None,
        files={key: str(value) for key, value in fields.object("files").items()},
        adapter_files={key: str(value) for key, value in fields.object("adapters").items()},
        template=fields.text("template") or None,
        system=fields.text("system") or None,
        licenses=_licenses(fields.any("license")),
        parameters=check_options(fields.object("parameters")),
        messages=[each.values for each in fields.objects("messages")],
    )


def _licenses(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return tuple(value)
    raise InvalidInput("license must be a string or an array of strings")

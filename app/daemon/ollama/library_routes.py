"""Ollama's routes around the library: listings, details, copies, removal and downloads."""

import os

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.fields import Fields
from app.daemon.ollama.fields import COPY, DELETE, SHOW
from app.daemon.ollama.requests import parse_model_field
from app.daemon.state import read_body, state_of
from app.daemon.watched_reply import JSONReply
from localllm import __version__
from models.errors import InvalidInput

OLLAMA_VERSION = "0.32.0"
"""The version of Ollama's API that we speak; clients compare it."""

router = APIRouter()


@router.head("/api/version", include_in_schema=False)
@router.get("/api/version")
async def version() -> Response:
    """Ollama's version, ours and who we are."""
    return JSONReply({"version": OLLAMA_VERSION, "localllm": __version__, "pid": os.getpid()})


@router.head("/api/tags", include_in_schema=False)
@router.get("/api/tags")
async def tags(request: Request) -> Response:
    """The models of the library."""
    return JSONReply(state_of(request).catalog.tags())


@router.get("/api/ps")
async def ps(request: Request) -> Response:
    """The models in memory."""
    state = state_of(request)
    return JSONReply(state.catalog.loaded(state.pool.workers))


@router.post("/api/show")
async def show(request: Request) -> Response:
    """All about one model."""
    fields = Fields(await read_body(request), SHOW)
    name = parse_model_field(fields)
    if not name:
        raise InvalidInput("model is required")
    catalog = state_of(request).catalog
    verbose = fields.flag("verbose", default=False)
    return JSONReply(catalog.show(catalog.find(name).files, verbose=verbose))


@router.post("/api/copy")
async def copy(request: Request) -> Response:
    """A second name for a model."""
    fields = Fields(await read_body(request), COPY)
    state_of(request).catalog.copy(fields.text("source"), fields.text("destination"))
    return Response()


@router.delete("/api/delete")
async def delete(request: Request) -> Response:
    """Remove a model; one in memory is unloaded."""
    state = state_of(request)
    name = parse_model_field(Fields(await read_body(request), DELETE))
    await state.pool.unload_name(state.catalog.delete(name))
    return Response()

"""Puts routes, security and the shared state together into one ASGI application."""

import logging
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from app.daemon import (
    embed_routes,
    page_routes,
    status_routes,
    token_routes,
    top_routes,
    why_routes,
)
from app.daemon.addresses import is_loopback
from app.daemon.anthropic import routes as anthropic_routes
from app.daemon.authority import Authority
from app.daemon.errors import answer_defect, answer_http_error, answer_user_error
from app.daemon.ollama import create_routes, library_routes, pull_routes, refused_routes
from app.daemon.ollama import routes as ollama_routes
from app.daemon.openai import responses_routes
from app.daemon.openai import routes as openai_routes
from app.daemon.openapi import make_document
from app.daemon.request_log import RequestLog
from app.daemon.security import Gate
from app.daemon.state import State
from app.daemon.workers.model_worker import ModelSource
from app.locations import keys_file
from localllm import __version__
from models.errors import UserError

log = logging.getLogger("localllm.daemon")

ROUTES = (
    anthropic_routes,
    create_routes,
    embed_routes,
    library_routes,
    ollama_routes,
    openai_routes,
    page_routes,
    pull_routes,
    refused_routes,
    responses_routes,
    status_routes,
    token_routes,
    top_routes,
    why_routes,
)
Preloaded = tuple[ModelSource, subprocess.Popen[bytes]]


def make_application(state: State, *, host: str, preloaded: Preloaded | None = None) -> FastAPI:
    """The daemon behind an address on `host`; its workers end with it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if preloaded is not None:
            state.pool.adopt(*preloaded)
        yield
        await state.pool.close()

    app = FastAPI(
        title="localllm",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            UserError: answer_user_error,
            HTTPException: answer_http_error,
            Exception: answer_defect,
        },
    )
    app.state.daemon = state
    app.openapi = partial(make_document, app)  # type: ignore[method-assign]
    for routes in ROUTES:
        app.include_router(routes.router)
    app.add_middleware(
        Gate,
        check_host=is_loopback(host),
        origins=state.settings.origins,
        authority=Authority(keys_file(state.settings.home)),
    )
    app.add_middleware(RequestLog)
    return app

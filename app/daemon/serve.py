"""`localllm serve`: takes the address, starts a first worker if asked, then the server.

What takes long to import comes last, so that a worker loads its model meanwhile.
"""

import asyncio
import errno
import json
import logging
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from app.client import DaemonClient
from app.daemon.addresses import is_loopback
from app.daemon.request_id import current_request_id
from app.keys import read_keys
from app.locations import keys_file, library_dir
from app.logs import start_log
from app.settings import Settings
from models.errors import Busy, InvalidInput, UserError
from models.store.library import Library

if TYPE_CHECKING:
    from app.daemon.workers.model_worker import ModelSource

log = logging.getLogger("localllm.daemon")

_BACKLOG = 2048


def serve(
    settings: Settings,
    *,
    private: bool = False,
    preload: str | None = None,
    allow_remote: bool = False,
) -> None:
    """Serve until a signal comes, or in private until standard input ends.

    A private daemon takes any free port of 127.0.0.1 and prints `{"host": …, "port": …}`, or what
    is wrong as `{"error": …, "kind": …, "hint": …, "status": …}`.

    Raises:
        InvalidInput: an address that others can reach, without a key or `allow_remote`.
        Busy: the port is taken.
        NotFound: `preload` names no model.
    """
    start_log(settings, request_id=current_request_id)
    host, port = ("127.0.0.1", 0) if private else settings.address
    if not (is_loopback(host) or allow_remote or read_keys(keys_file(settings.home))):
        raise InvalidInput(
            f"{host} can be reached from other machines, and no key is asked of them",
            hint="`localllm key add NAME` makes a key; --allow-remote lets everybody in",
        )
    library = Library(library_dir(settings.home))
    try:
        listener = listen(host, port)
        preloaded = None if preload is None else _preload(preload, settings, library)
    except UserError as error:
        if private:
            _tell_user(
                {
                    "error": error.message,
                    "kind": type(error).__name__,
                    "hint": error.hint,
                    "status": error.status,
                }
            )
        raise
    if private:
        _tell_user(dict(zip(("host", "port"), listener.getsockname(), strict=True)))
    asyncio.run(_run(settings, listener, library, preloaded, private=private))


def _tell_user(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; clients may connect before the server is up.

    Raises:
        Busy: somebody listens there; the hint says who.
        InvalidInput: not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Busy(f"port {port} of {host} is in use", hint=_name_holder(host, port)) from error
        raise InvalidInput(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="LOCALLLM_HOST takes an address of this machine, such as 127.0.0.1:11434",
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _name_holder(host: str, port: int) -> str:
    elsewhere = f"or choose another port: LOCALLLM_HOST={host}:{port + 1}"
    try:
        found = DaemonClient(host, port, timeout_s=1.0).version()
    except UserError:
        return f"stop the program that holds it, {elsewhere}"
    if "localllm" in found:
        pid = found.get("pid", "?")
        return f"a localllm daemon (process {pid}) serves there already: use it, {elsewhere}"
    return f"another server of Ollama's API runs there: stop it, {elsewhere}"


def _preload(
    text: str, settings: Settings, library: Library
) -> "tuple[ModelSource, subprocess.Popen[bytes]]":
    from app.daemon.ollama.catalog import Catalog
    from app.daemon.workers.model_pool import make_load
    from app.daemon.workers.worker_process import spawn_worker

    source = Catalog(library).find(text)
    return source, spawn_worker(make_load(source, settings, str(library.root)))


async def _run(
    settings: Settings,
    listener: socket.socket,
    library: Library,
    preloaded: "tuple[ModelSource, subprocess.Popen[bytes]] | None",
    *,
    private: bool,
) -> None:
    import uvicorn

    from app.daemon.application import make_application
    from app.daemon.measures import Measures
    from app.daemon.ollama.catalog import Catalog
    from app.daemon.state import State
    from app.daemon.tracing import make_tracer
    from app.daemon.workers.model_pool import ModelPool, make_limits

    host, port = listener.getsockname()[:2]
    pool = ModelPool(make_limits(settings), settings, str(library.root))
    tracer = make_tracer()
    measures = Measures(tracer, log_prompts=settings.log_prompts)
    state = State(settings, Catalog(library), pool, measures)
    app = make_application(state, host=host, preloaded=preloaded)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(min(settings.shutdown_grace_s, 86_400)),
    )
    server = uvicorn.Server(config)
    if private:
        _end_with_stdin()
    else:
        log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    await server.serve(sockets=[listener])
    if tracer is not None:
        tracer.close()


def _end_with_stdin() -> None:
    """The user of a private daemon holds the other end of its standard input.

    There is nobody left to answer, and workers end when their own input does.
    """

    def take() -> None:
        if not os.read(0, 4096):
            os._exit(0)

    asyncio.get_running_loop().add_reader(0, take)

"""The process that holds one model: messages in on stdin, events out on stdout (`app.protocol`).

Three threads: one reads lines, and ends the process when the daemon is gone; one turns
conversations into tokens; the main one runs the engine and is never kept waiting by them.
"""

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, NoReturn, TypeAlias

from app.logs import start_log
from app.protocol import (
    Abort,
    Event,
    Explain,
    Failed,
    Load,
    Message,
    Ready,
    Shutdown,
)
from app.protocol_lines import format_line, parse_line
from app.settings import read_settings
from models.errors import UserError

if TYPE_CHECKING:
    from app.worker.engine import Prepared, WorkerEngine
    from engine.loading import LoadedModel

log = logging.getLogger("localllm.worker")

METRICS_EVERY_S = 1.0

Inbox = queue.SimpleQueue[Message]
Outbox: TypeAlias = "queue.SimpleQueue[Prepared | Abort | Explain | Shutdown]"


def main() -> None:
    """Serve the model that the first message names, until standard input ends.

    A defect in any thread ends the process: the daemon starts another and asks again.
    """
    sys.excepthook = _die
    threading.excepthook = lambda args: _die(args.exc_type, args.exc_value, args.exc_traceback)
    _run()
    os._exit(0)  # the interpreter cannot end in order while a thread waits for input


def _die(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> NoReturn:
    assert error is not None
    log.critical("a defect ends this worker", exc_info=(kind, error, trace))
    sys.stderr.flush()
    os._exit(1)


def _run() -> None:
    start_log(read_settings(), "worker")
    events = _take_stdout()
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, inbox), daemon=True).start()
    from app.worker.engine import WorkerEngine  # the long imports, while `Load` is on its way

    first = inbox.get()
    if isinstance(first, Shutdown):
        return
    assert isinstance(first, Load), f"{first} before Load"
    try:
        model, ready = _load(first)
    except UserError as error:
        _write(events, [Failed.of(error)])
        return
    _write(events, [ready])
    prepared: Outbox = queue.SimpleQueue()
    engine = WorkerEngine(model)
    threading.Thread(target=_prepare, args=(engine, inbox, prepared), daemon=True).start()
    _serve(engine, prepared, events)


def _take_stdout() -> int:
    """A descriptor for events; what any library prints goes to stderr instead."""
    events = os.dup(1)
    os.dup2(2, 1)
    return events


def _read(source: BinaryIO, inbox: Inbox) -> None:
    for line in source:
        inbox.put(parse_line(line))  # type: ignore[arg-type]
    os._exit(0)


def _load(message: Load) -> "tuple[LoadedModel, Ready]":
    """Load the model and do the first step's one-time work."""
    from engine.loading import EngineOptions, load_model
    from models.resolve import resolve
    from models.store.library import Library

    begun_s = time.monotonic()
    library = Library(Path(message.library))
    files = resolve(message.model, library)
    adapter = files.adapter if message.adapter is None else Path(message.adapter)
    options = EngineOptions(
        max_context_tokens=message.max_context_tokens,
        kv_cache_bytes=message.kv_cache_bytes,
        kv_type=message.kv_type,
        num_threads=message.num_threads,
        adapter=adapter,
        draft=resolve(message.draft, library) if message.draft else None,
        is_draft_needed=message.is_draft_needed,
        prefix_directory=Path(message.prefix_directory) if message.prefix_directory else None,
        prefix_bytes=message.prefix_bytes,
        kernel_checks=Path(message.kernel_checks) if message.kernel_checks else None,
    )
    model = load_model(files, options)
    ready = Ready(
        context_length=model.info.context_length,
        trained_context_length=model.info.trained_context_length,
        weight_bytes=model.info.weight_bytes,
        kv_bytes=model.engine.metrics.kv_bytes,
        load_s=time.monotonic() - begun_s,
        kv_type=model.info.kv_type,
        kv_token_bytes=model.info.kv_token_bytes,
        supports_tools=model.chat_template.supports_tools,
        supports_thinking=model.chat_template.supports_thinking,
        replaced_kernels=model.info.replaced_kernels,
    )
    return model, ready


def _prepare(engine: "WorkerEngine", inbox: Inbox, prepared: Outbox) -> None:
    while True:
        message = inbox.get()
        if isinstance(message, Abort | Explain | Shutdown):
            prepared.put(message)
            continue
        assert not isinstance(message, Load), "loaded already"
        try:
            prepared.put(engine.prepare(message))
        except UserError as error:
            prepared.put(Failed.of(error, message.id))
        except Exception:  # a defect, but of this one request only
            log.exception("request %s cannot be prepared", message.id)
            prepared.put(
                Failed.of(UserError("internal error while reading the prompt"), message.id)
            )


def _serve(engine: "WorkerEngine", prepared: Outbox, events: int) -> None:
    """The engine's loop: take what came, step, write everything that happened in one piece."""
    metrics_s = 0.0
    while True:
        if engine.is_idle and prepared.empty():
            _write(events, [engine.metrics()])
            while prepared.empty() and engine.save_prefixes():
                pass
            items = [prepared.get()]
        else:
            items = []
        while not prepared.empty():
            items.append(prepared.get())
        batch: list[Event] = []
        for item in items:
            if isinstance(item, Shutdown):
                return
            batch += engine.take(item)
        batch += engine.step()
        if time.monotonic() - metrics_s > METRICS_EVERY_S:
            metrics_s = time.monotonic()
            batch.append(engine.metrics())
        _write(events, batch)


def _write(descriptor: int, batch: Iterable[Event]) -> None:
    data = b"".join(map(format_line, batch))
    while data:
        data = data[os.write(descriptor, data) :]

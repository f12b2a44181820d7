"""How the daemon is: `/health` for whoever supervises it, `/metrics` for Prometheus."""

import time
from collections.abc import Iterator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.daemon.state import State, state_of
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
    """Counts in Prometheus' text format."""
    lines = "\n".join(list_metrics(state_of(request)))
    return PlainTextResponse(lines + "\n", media_type="text/plain; version=0.0.4")


def list_metrics(state: State) -> Iterator[str]:
    """Each metric with its type before its first value."""
    pool = state.pool
    yield from _metric("requests_in_progress", "gauge", {"": state.num_requests})
    for name, value in sorted(state.counts.items()):
        yield from _metric(f"{name}_total", "counter", {"": value})
    yield from _metric("model_evictions_total", "counter", {"": pool.num_evictions})
    workers = {f'{{model="{w.source.files.name}"}}': w for w in pool.workers}
    restarts = {label: worker.num_restarts for label, worker in workers.items()}
    yield from _metric("worker_restarts", "gauge", restarts)
    counts = {
        label: worker.process.metrics.counts
        for label, worker in workers.items()
        if worker.process is not None
    }
    for name in sorted({name for each in counts.values() for name in each}):
        values = {label: each[name] for label, each in counts.items() if name in each}
        yield from _metric(f"engine_{name.removeprefix('num_')}", "gauge", values)


def _metric(name: str, kind: str, values: dict[str, int]) -> Iterator[str]:
    if values:
        yield f"# TYPE localllm_{name} {kind}"
    for label, value in values.items():
        yield f"localllm_{name}{label} {value}"

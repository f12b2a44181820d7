"""`/api/top`: what happens at this moment, for `localllm top` and the page. No prompts are told."""

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.answer import Answer, Answers
from app.daemon.encoder import Json
from app.daemon.measures import ModelMeasures
from app.daemon.metrics import group_by_model, kv_use, sum_counts
from app.daemon.state import State, state_of
from app.daemon.watched_reply import JSONReply
from app.daemon.workers.model_worker import ModelWorker
from app.protocol import Generate
from localllm import __version__

router = APIRouter()


@router.get("/api/top")
async def top(request: Request) -> Response:
    """Loaded models with their speed, and the requests that wait or run."""
    return JSONReply(describe_top(state_of(request)))


def describe_top(state: State) -> Json:
    """The body of `/api/top`."""
    models = group_by_model(state.pool.workers)
    running = [
        _request(answering, answer)
        for answering in state.measures.answering.values()
        for answer in answering.answers.values()
        if not answer.is_finished
    ]
    return {
        "version": __version__,
        "uptime_s": round(time.monotonic() - state.begun_s, 3),
        "queue_depth": state.num_requests,
        "max_queue": state.settings.max_queue,
        "requests_refused": state.num_refused,
        "models": [_model(n, ws, state.measures.models[n]) for n, ws in models.items()],
        "requests": running,
    }


def _model(name: str, workers: list[ModelWorker], measures: ModelMeasures) -> Json:
    tokens = measures.num_tokens
    return {
        "name": name,
        "loaded": all(worker.is_loaded for worker in workers),
        "size_bytes": sum(worker.size_bytes for worker in workers),
        "context_length": max((w.ready.context_length for w in workers if w.ready), default=0),
        "running": int(sum_counts(workers, "num_running")),
        "waiting": int(sum_counts(workers, "num_waiting")),
        "output_tokens_per_s": round(measures.output_rate.per_s(time.monotonic()), 2),
        "kv_use": round(kv_use(workers), 4),
        "prefix_hit_rate": _share(tokens["cached"], tokens["prompt"]),
        "acceptance": _share(tokens["accepted"], tokens["draft"]),
        "requests": sum(measures.num_ended.values()),
        "output_tokens": tokens["output"],
        "restarts": sum(worker.num_restarts for worker in workers),
        "expires_at": max(worker.expires_at for worker in workers).isoformat(),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _request(answering: Answers, answer: Answer) -> Json:
    moments, now_s = answer.moments, time.monotonic()
    body: Json = {
        "id": answer.asked.id,
        "model": answering.model,
        "state": "waiting",
        "elapsed_s": round(answering.elapsed_s, 3),
        "prompt_tokens": answer.started.num_prompt_tokens if answer.started else 0,
        "computed_tokens": answer.num_computed_tokens,
        "output_tokens": len(answer.token_ids),
        "tokens_per_s": None,
    }
    if moments.first_token_s is not None:
        body["state"] = "decode"
        body["computed_tokens"] = body["prompt_tokens"]
        spent_s = now_s - moments.first_token_s
        body["tokens_per_s"] = round((len(answer.token_ids) - 1) / spent_s, 2) if spent_s else None
    elif answer.num_computed_tokens or not isinstance(answer.asked, Generate):
        body["state"] = "prefill"
    return body

"""What `/metrics` says: the daemon's state and measures as Prometheus metrics, by model."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from app.daemon.histogram import Histogram
from app.daemon.measures import ModelMeasures
from app.daemon.state import State
from app.daemon.workers.model_worker import ModelWorker
from localllm import __version__

Labels = tuple[tuple[str, str], ...]
Value = float | Histogram


@dataclass(frozen=True)
class Metric:
    """One metric with its values; an answer without any is not shown."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    values: Mapping[Labels, Value]


def list_metrics(state: State) -> Iterator[Metric]:
    """All metrics; the gauges of a model are those of its workers together."""
    yield Metric("info", "gauge", "The daemon's version.", {(("version", __version__),): 1})
    yield _single("uptime_seconds", "gauge", "Since the start.", time.monotonic() - state.begun_s)
    yield _single("queue_depth", "gauge", "Requests that wait or run.", state.num_requests)
    yield _single("requests_refused_total", "counter", "Requests answered 503.", state.num_refused)
    yield from _list_answers(state.measures.models)
    yield from _list_engines(group_by_model(state.pool.workers))
    yield from _list_totals(state)


def _list_answers(models: Mapping[str, ModelMeasures]) -> Iterator[Metric]:
    ended: dict[Labels, Value] = {
        (("model", name), ("outcome", outcome)): count
        for name, model in models.items()
        for outcome, count in model.num_ended.items()
    }
    yield Metric("requests_total", "counter", "Answers by how they ended.", ended)
    for name, text in (
        ("ttft_s", "From a request's coming to its first token, loading included."),
        ("tpot_s", "From one token of an answer to the next, on average."),
        ("duration_s", "From a request's coming to the end of its answer."),
        ("queue_s", "In the engine's queue."),
        ("prefill_s", "From the queue to the first token."),
    ):
        title = _TITLES[name]
        values: dict[Labels, Value] = {_of(n): getattr(m, name) for n, m in models.items()}
        yield Metric(f"{title}_seconds", "histogram", text, values)
    for kind, text in (
        ("prompt", "Tokens of prompts."),
        ("cached", "Tokens of prompts that were found in the prefix cache."),
        ("output", "Tokens of answers."),
        ("draft", "Tokens proposed by speculation."),
        ("accepted", "Proposed tokens that were right."),
    ):
        counts: dict[Labels, Value] = {_of(n): m.num_tokens[kind] for n, m in models.items()}
        yield Metric(f"{kind}_tokens_total", "counter", text, counts)
    yield _ratio(models, "prefix_cache_hit_ratio", "cached", "prompt", "Cached of prompt tokens.")
    yield _ratio(
        models, "speculation_acceptance_ratio", "accepted", "draft", "Right of proposed tokens."
    )
    now_s = time.monotonic()
    rates: dict[Labels, Value] = {_of(n): m.output_rate.per_s(now_s) for n, m in models.items()}
    yield Metric("output_tokens_per_second", "gauge", "Over the last five seconds.", rates)


_TITLES = {
    "ttft_s": "time_to_first_token",
    "tpot_s": "time_per_output_token",
    "duration_s": "request_duration",
    "queue_s": "request_queue",
    "prefill_s": "request_prefill",
}


def _list_engines(models: Mapping[str, list[ModelWorker]]) -> Iterator[Metric]:
    for name, field, text in (
        ("requests_running", "num_running", "Requests in the engine's batch."),
        ("requests_waiting", "num_waiting", "Requests in the engine's queue."),
        ("batch_rows", "num_rows", "Tokens in the last step."),
        ("step_seconds", "step_s", "Time of the last step."),
        ("kv_cache_bytes", "kv_bytes", "Memory of the keys' and values' pool."),
        ("kv_cache_blocks", "num_blocks", "Blocks of the pool."),
        ("kv_cache_free_blocks", "num_free_blocks", "Blocks that hold nothing."),
        ("kv_cache_prefix_blocks", "num_cached_blocks", "Blocks kept for prompts to come."),
        ("kv_cache_waste_ratio", "kv_waste", "Rows of blocks in use that hold no token."),
    ):
        values: dict[Labels, Value] = {_of(n): sum_counts(w, field) for n, w in models.items()}
        yield Metric(name, "gauge", text, values)
    use: dict[Labels, Value] = {_of(n): kv_use(w) for n, w in models.items()}
    yield Metric("kv_cache_use_ratio", "gauge", "Blocks of running requests, of all.", use)
    sizes: dict[Labels, Value] = {_of(n): sum(w.size_bytes for w in ws) for n, ws in models.items()}
    yield Metric("model_bytes", "gauge", "Memory of a loaded model.", sizes)


def _list_totals(state: State) -> Iterator[Metric]:
    totals = {name: Counter(counts) for name, counts in state.pool.totals.items()}
    for worker in state.pool.workers:
        counts = totals.setdefault(worker.source.files.name, Counter())
        counts.update(worker.totals)
        counts["num_restarts"] += worker.num_restarts
    for name, field, text in (
        ("engine_steps_total", "num_steps", "Steps of the engine."),
        ("preemptions_total", "num_preemptions", "Requests put back for want of blocks."),
        ("prefix_evictions_total", "num_evictions", "Cached blocks given away."),
        ("model_evictions_total", "num_unloaded_for_room", "Unloaded to make room."),
        ("worker_restarts_total", "num_restarts", "Workers replaced after their death."),
    ):
        values: dict[Labels, Value] = {_of(n): counts[field] for n, counts in totals.items()}
        yield Metric(name, "counter", text, values)


def kv_use(workers: Iterable[ModelWorker]) -> float:
    """Share of the blocks that running requests hold; cached ones are free for the asking."""
    found = list(workers)
    num_blocks = sum_counts(found, "num_blocks")
    num_idle = sum_counts(found, "num_free_blocks") + sum_counts(found, "num_cached_blocks")
    return (num_blocks - num_idle) / num_blocks if num_blocks else 0.0


def group_by_model(workers: Iterable[ModelWorker]) -> dict[str, list[ModelWorker]]:
    """Workers by the name of their model: it may be loaded with several adapters or drafts."""
    found: dict[str, list[ModelWorker]] = {}
    for worker in workers:
        found.setdefault(worker.source.files.name, []).append(worker)
    return found


def sum_counts(workers: Iterable[ModelWorker], field: str) -> float:
    """One of `engine.metrics`' figures, of all of them together."""
    return sum(w.process.metrics.counts.get(field, 0) for w in workers if w.process is not None)


def _ratio(
    models: Mapping[str, ModelMeasures], name: str, part: str, whole: str, text: str
) -> Metric:
    values: dict[Labels, Value] = {
        _of(n): m.num_tokens[part] / m.num_tokens[whole]
        for n, m in models.items()
        if m.num_tokens[whole]
    }
    return Metric(name, "gauge", f"{text} Since the start.", values)


def _single(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Metric:
    return Metric(name, kind, text, {(): value})


def _of(model: str) -> Labels:
    return (("model", model),)


def format_metrics(metrics: Iterable[Metric]) -> str:
    """Prometheus' text exposition format, version 0.0.4."""
    return "".join(line + "\n" for metric in metrics for line in _format(metric))


def _format(metric: Metric) -> Iterator[str]:
    name = f"localllm_{metric.name}"
    if metric.values:
        yield f"# HELP {name} {metric.help}"
        yield f"# TYPE {name} {metric.kind}"
    for labels, value in metric.values.items():
        if isinstance(value, Histogram):
            for bound, count in value.cumulative():
                yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {count}"
            yield f"{name}_sum{_braces(labels)} {value.total!r}"
            yield f"{name}_count{_braces(labels)} {value.count}"
        else:
            yield f"{name}{_braces(labels)} {value:.12g}"


def _braces(labels: Labels) -> str:
    pairs = [f'{name}="{_escape(text)}"' for name, text in labels]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

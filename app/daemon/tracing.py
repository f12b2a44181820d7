"""Traces for OpenTelemetry, made only where an endpoint for them is configured.

An answer becomes a span `request` with the spans `queue`, `prefill` and `decode` in it.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.daemon.answer import Answer, Answers
from app.daemon.request_id import current_request_id
from localllm import __version__
from models.errors import Unsupported

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables; the SDK reads these and its others for itself."""


class Tracer:
    """Writes finished answers to `provider`."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("localllm", __version__)

    def trace(self, answering: Answers, answer: Answer, outcome: str) -> None:
        """The spans of an answer that has ended, now."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        zero_ns = time.time_ns() - time.monotonic_ns()

        def at(moment_s: float) -> int:
            return zero_ns + int(moment_s * 1e9)

        spans, end_s = list_spans(answering, answer)
        request = self._tracer.start_span(
            "request",
            kind=SpanKind.SERVER,
            start_time=at(answering.begun_s),
            attributes=_attributes(answering, answer, outcome),
        )
        inside = set_span_in_context(request)
        for name, start_s, stop_s in spans:
            self._tracer.start_span(name, inside, start_time=at(start_s)).end(at(stop_s))
        if answering.error is not None:
            request.set_status(Status(StatusCode.ERROR, type(answering.error).__name__))
        request.end(at(end_s))

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def list_spans(answering: Answers, answer: Answer) -> tuple[list[tuple[str, float, float]], float]:
    """Name, start and end of what an answer has gone through, and its end; monotonic seconds.

    `queue` ends when the engine takes the request up; loading the model is part of it.
    """
    moments = answer.moments
    end_s = moments.ended_s or time.monotonic()
    if moments.started_s is None:
        return [("queue", answering.begun_s, end_s)], end_s
    queue_s = answer.done.stats.queue_s if answer.done is not None else 0.0
    taken_s = min(moments.started_s + queue_s, moments.first_token_s or end_s)
    spans = [("queue", answering.begun_s, taken_s)]
    spans.append(("prefill", taken_s, moments.first_token_s or end_s))
    if moments.first_token_s is not None:
        spans.append(("decode", moments.first_token_s, end_s))
    return spans, end_s


def make_tracer(environ: Mapping[str, str] = os.environ) -> Tracer | None:
    """A tracer to the endpoint that the environment names; None where it names none.

    Raises:
        Unsupported: there is one, but OpenTelemetry's SDK is not installed.
    """
    endpoint = next((environ[name] for name in ENDPOINTS if environ.get(name)), None)
    if endpoint is None or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Unsupported(
            f"traces are wanted at {endpoint}, but {error.name} is not installed",
            hint="install `localllm[tracing]`, or unset OTEL_EXPORTER_OTLP_ENDPOINT",
        ) from error
    name = environ.get("OTEL_SERVICE_NAME", "localllm")
    resource = Resource.create({"service.name": name, "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)


def _attributes(answering: Answers, answer: Answer, outcome: str) -> dict[str, Any]:
    """By OpenTelemetry's names for generative models, where it has any; no prompts."""
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": answering.model,
        "gen_ai.response.id": current_request_id(),
        "gen_ai.response.finish_reasons": [outcome],
        "gen_ai.usage.output_tokens": len(answer.token_ids),
    }
    if answer.started is not None:
        found["gen_ai.usage.input_tokens"] = answer.started.num_prompt_tokens
    if answer.done is not None:
        found["localllm.cached_tokens"] = answer.done.stats.num_cached_tokens
    return found

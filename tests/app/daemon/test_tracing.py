"""Spans of an answer, and when traces are made at all."""

import sys
from itertools import pairwise

import pytest

from app.daemon.tracing import Tracer, list_spans, make_tracer
from models.errors import Unsupported


def test_without_an_endpoint_nothing_is_imported_or_traced() -> None:
    assert make_tracer({}) is None
    assert make_tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"}) is None


def test_an_endpoint_without_the_sdk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(Unsupported, match=r"http://there.*not installed") as error:
        make_tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there"})
    assert "localllm[tracing]" in str(error.value.hint)


class Spy(Tracer):
    """Keeps what would be traced."""

    def __init__(self) -> None:
        self.traced: list[tuple[list[tuple[str, float, float]], float, str]] = []

    def trace(self, answering, answer, outcome: str) -> None:
        self.traced.append((*list_spans(answering, answer), outcome))


def test_an_answer_is_queue_then_prefill_then_decode(daemon, wait_until) -> None:
    spy = daemon.state.measures.tracer = Spy()
    daemon.post("/api/generate", {"model": "pocket", "prompt": "say 3", "stream": False})
    wait_until(lambda: bool(spy.traced))
    ((spans, end_s, outcome),) = spy.traced
    assert [name for name, _, _ in spans] == ["queue", "prefill", "decode"]
    for (_, _, before_s), (_, start_s, _) in pairwise(spans):
        assert before_s == start_s
    assert (spans[-1][2], outcome) == (end_s, "stop")


def test_the_spans_of_an_answer_reach_the_exporter(daemon, wait_until) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    daemon.state.measures.tracer = Tracer(provider)
    daemon.post("/api/generate", {"model": "pocket", "prompt": "say 3", "stream": False})
    wait_until(lambda: len(exporter.get_finished_spans()) == 4)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"request", "queue", "prefill", "decode"}
    for name in ("queue", "prefill", "decode"):
        assert spans[name].parent.span_id == spans["request"].context.span_id
        assert spans["request"].start_time <= spans[name].start_time <= spans[name].end_time
    assert spans["request"].attributes["gen_ai.usage.output_tokens"] == 3

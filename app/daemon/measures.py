"""What the daemon measures of its answers: for `/metrics`, `/api/top`, the log and traces."""

import logging
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from app.daemon.answer import Answer, Answers
from app.daemon.histogram import Histogram, Rate
from app.daemon.tracing import Tracer
from app.protocol import Delta, Done, Embedded, Failed, Generate, Json, RequestEvent, Started
from engine.request import RequestStats

log = logging.getLogger("localllm.requests")

_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)
_LONG_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)


def _long() -> Histogram:
    return Histogram(_LONG_S)


@dataclass
class ModelMeasures:
    """One model's answers since the daemon's start."""

    ttft_s: Histogram = field(default_factory=_long)
    """From the request's coming to its first token, loading included."""
    tpot_s: Histogram = field(default_factory=lambda: Histogram(_SHORT_S))
    """From one token to the next, a mean for each answer."""
    duration_s: Histogram = field(default_factory=_long)
    """From the request's coming to the answer's end."""
    queue_s: Histogram = field(default_factory=_long)
    prefill_s: Histogram = field(default_factory=_long)
    num_ended: Counter[str] = field(default_factory=Counter)
    """Answers by how they ended."""
    num_tokens: Counter[str] = field(default_factory=Counter)
    """By kind: prompt, cached, output, draft, accepted."""
    output_rate: Rate = field(default_factory=Rate)
    """Tokens a second, as they come."""

    def add(self, stats: RequestStats) -> None:
        """What one answer cost."""
        self.queue_s.add(stats.queue_s)
        self.prefill_s.add(stats.prefill_s)
        self.num_tokens["prompt"] += stats.num_prompt_tokens
        self.num_tokens["cached"] += stats.num_cached_tokens
        self.num_tokens["draft"] += stats.num_draft_tokens
        self.num_tokens["accepted"] += stats.num_accepted_tokens


class Measures:
    """Hears of every answering and of each of its events."""

    def __init__(self, tracer: Tracer | None = None, *, log_prompts: bool = False) -> None:
        self.models: defaultdict[str, ModelMeasures] = defaultdict(ModelMeasures)
        self.answering: dict[int, Answers] = {}
        """Those that wait or run, by identity; the oldest first."""
        self.tracer = tracer
        self.log_prompts = log_prompts

    def begin(self, answering: Answers) -> None:
        """A client asks."""
        self.answering[id(answering)] = answering

    def hear(self, answering: Answers, event: RequestEvent) -> None:
        """Something came from a worker."""
        assert event.id is not None
        now_s, model = time.monotonic(), self.models[answering.model]
        moments = answering.answers[event.id].moments
        if isinstance(event, Delta) and event.token_ids:
            if moments.first_token_s is None:
                moments.first_token_s = now_s
                model.ttft_s.add(now_s - answering.begun_s)
            model.output_rate.add(now_s, len(event.token_ids))
            model.num_tokens["output"] += len(event.token_ids)
        elif isinstance(event, Started):
            moments.started_s = moments.started_s or now_s
        elif isinstance(event, Done):
            moments.ended_s = now_s
            model.add(event.stats)
            if moments.first_token_s is not None and event.stats.num_output_tokens > 1:
                gaps = event.stats.num_output_tokens - 1
                model.tpot_s.add((now_s - moments.first_token_s) / gaps)
        elif isinstance(event, Failed | Embedded):
            moments.ended_s = now_s

    def end(self, answering: Answers) -> None:
        """The client has its answers, or an error, or has left."""
        del self.answering[id(answering)]
        for answer in answering.answers.values():
            model, outcome = self.models[answering.model], _outcome(answering, answer)
            model.num_ended[outcome] += 1
            if answer.moments.ended_s is not None:
                model.duration_s.add(answer.moments.ended_s - answering.begun_s)
            if isinstance(answer.asked, Generate):
                if log.isEnabledFor(logging.INFO):
                    self._log(answering, answer, outcome)
                if self.tracer is not None:
                    self.tracer.trace(answering, answer, outcome)

    def _log(self, answering: Answers, answer: Answer, outcome: str) -> None:
        fields: Json = {
            "model": answering.model,
            "outcome": outcome,
            "duration_s": round(answering.elapsed_s, 6),
            "output_tokens": len(answer.token_ids),
        }
        if answer.started is not None:
            fields["prompt_tokens"] = answer.started.num_prompt_tokens
        if answer.done is not None:
            fields["cached_tokens"] = answer.done.stats.num_cached_tokens
            fields["queue_s"] = round(answer.done.stats.queue_s, 6)
        if answer.moments.first_token_s is not None:
            fields["ttft_s"] = round(answer.moments.first_token_s - answering.begun_s, 6)
        if self.log_prompts:
            asked = answer.asked
            assert isinstance(asked, Generate)
            fields["prompt"] = asked.prompt if asked.messages is None else list(asked.messages)
            fields["answer"] = "".join(answer.content)
        log.info("answer", extra={"fields": fields})


def _outcome(answering: Answers, answer: Answer) -> str:
    """How an answer ended, in one word."""
    if answer.done is not None:
        return answer.done.finish_reason
    if answer.result is not None:
        return "stop"
    return "cancelled" if answering.error is None else "error"

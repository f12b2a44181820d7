"""One answer on its way through the worker: what was asked, how far it is, what it has cost."""

from dataclasses import dataclass, field, replace

from app.protocol import Generate, Started
from app.worker.prompt import Prompt
from engine.request import Grammar, Request, RequestStats
from engine.text.text_stream import TextStream


@dataclass
class Writing:
    """One answer on its way."""

    asked: Generate
    prompt: Prompt
    request: Request
    stream: TextStream
    is_thinking: bool = False
    """Whether the thought is followed, for its end or for its length."""
    later_grammar: Grammar | None = None
    """Holds from the answer on; the thought before it is free."""
    thought_ids: list[int] = field(default_factory=list)
    """Output so far while `is_thinking`."""
    thought_stats: RequestStats | None = None
    has_read: bool = False
    """Whether log-probabilities of the prompt have begun to come."""
    finish_reason: str | None = None
    """Given when nothing is missing behind the output that is resumed."""
    stop: str = ""
    """The stop string that came up."""

    @property
    def has_thought_enough(self) -> bool:
        """Whether the thought has as many tokens as it may."""
        limit = self.asked.max_thinking_tokens
        return limit is not None and len(self.thought_ids) >= limit

    @property
    def started(self) -> Started:
        """What the daemon is told first."""
        return Started(
            self.asked.id,
            len(self.prompt.token_ids),
            self.prompt.token_ids if self.asked.return_prompt_ids else (),
            self.prompt.num_dropped_messages,
            self.prompt.num_dropped_tokens,
        )


def whole_stats(stats: RequestStats, writing: Writing) -> RequestStats:
    """The engine's stats of the last request, for the prompt and output that the client sees."""
    num_prompt_tokens = len(writing.prompt.token_ids)
    num_before = len(writing.request.prompt_token_ids) - num_prompt_tokens
    first = writing.thought_stats or stats
    between_s = 0.0 if first is stats else first.decode_s + stats.queue_s + stats.prefill_s
    return replace(
        stats,
        num_prompt_tokens=num_prompt_tokens,
        num_cached_tokens=min(first.num_cached_tokens, num_prompt_tokens),
        num_output_tokens=stats.num_output_tokens + num_before,
        queue_s=first.queue_s,
        prefill_s=first.prefill_s,
        decode_s=stats.decode_s + between_s,
    )

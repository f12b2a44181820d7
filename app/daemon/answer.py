"""What came for a client's request so far: each answer, and when what happened to it."""

import time
from dataclasses import dataclass, field, replace

from app.daemon.workers.watchdog import MAX_STEP_TOKENS
from app.protocol import (
    Delta,
    Detokenize,
    Detokenized,
    Done,
    Embed,
    Embedded,
    Generate,
    Json,
    Progress,
    RequestEvent,
    Started,
    Tokenize,
    Tokenized,
)
from models.errors import UserError

Asked = Generate | Embed | Tokenize | Detokenize
Result = Embedded | Tokenized | Detokenized


@dataclass
class Moments:
    """When what happened to one answer, on the monotonic clock."""

    started_s: float | None = None
    first_token_s: float | None = None
    ended_s: float | None = None


@dataclass
class Answer:
    """All that came for one request so far."""

    asked: Asked
    started: Started | None = None
    num_computed_tokens: int = 0
    is_reading: bool = True
    """Whether its worker has given no new token yet."""
    token_ids: list[int] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tool_calls: list[Json] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    prompt_logprobs: list[Json] = field(default_factory=list)
    done: Done | None = None
    result: Result | None = None
    moments: Moments = field(default_factory=Moments)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come."""
        return self.done is not None or self.result is not None

    def add(self, event: RequestEvent) -> None:
        """Take in an event."""
        if isinstance(event, Delta):
            self.token_ids += event.token_ids
            self.is_reading = self.is_reading and not event.token_ids
            self.content += [event.content] if event.content else []
            self.thinking += [event.thinking] if event.thinking else []
            self.tool_calls += event.tool_calls
            self.logprobs += event.logprobs
            self.prompt_logprobs += event.prompt_logprobs
        elif isinstance(event, Progress):
            self.num_computed_tokens = event.num_computed_tokens
        elif isinstance(event, Started):
            self.started = self.started or event
            self.is_reading, self.num_computed_tokens = True, 0
            if not self.token_ids:
                self.prompt_logprobs.clear()  # another worker reads the prompt again
        elif isinstance(event, Done):
            self.done = event
        elif isinstance(event, Result):
            self.result = event

    def count_pending(self) -> int:
        """How many of the prompt's tokens the worker has yet to compute, as far as is known."""
        if not isinstance(self.asked, Generate) or self.started is None:
            return MAX_STEP_TOKENS
        if not self.is_reading:
            return 0
        num_tokens = self.started.num_prompt_tokens + len(self.token_ids)
        return num_tokens - self.num_computed_tokens

    def to_send(self) -> Asked:
        """What a worker must be asked for the rest."""
        if isinstance(self.asked, Generate) and self.token_ids:
            return replace(self.asked, resumed_token_ids=self.token_ids, num_prompt_logprobs=None)
        return self.asked


class Answers:
    """The answers to one client's request by their ids, several for `n` choices."""

    def __init__(self, model: str, asked: list[Asked]) -> None:
        self.model = model
        """The model's name."""
        self.answers = {each.id: Answer(each) for each in asked}
        self.begun_s = time.monotonic()
        self.load_s = 0.0
        """Until the model was ready."""
        self.error: UserError | None = None
        """What ended them before they were complete."""

    @property
    def is_finished(self) -> bool:
        """Whether all answers are complete."""
        return all(answer.is_finished for answer in self.answers.values())

    @property
    def elapsed_s(self) -> float:
        """Since the client asked."""
        return time.monotonic() - self.begun_s

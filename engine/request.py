"""What goes into the engine and what comes out of it: plain frozen values, no arrays."""

from dataclasses import dataclass, field
from typing import Literal

from models.errors import InvalidInput, UserError

FinishReason = Literal["stop", "length", "abort", "error"]
"""`stop`: an end token or a stop string; `length`: max_tokens or the context is used up; `error`:
this request cannot go on, others can."""

GrammarKind = Literal["json", "json_schema", "regex", "lark"]


@dataclass(frozen=True)
class Grammar:
    """What the output must match; `text` is the schema, pattern or grammar (empty for `json`)."""

    kind: GrammarKind
    text: str = ""


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen. Penalties look at the last `penalty_window` tokens."""

    temperature: float = 0.8
    top_k: int = 40
    """0: no limit."""
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int = 64
    """In tokens; -1: the whole context."""
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int | None = None
    """None: a fresh one for each request."""
    max_tokens: int | None = None
    """None: until the model stops or the context is full."""
    ignore_eos: bool = False
    num_logprobs: int | None = None
    """None: no log-probabilities; 0 to 20: the chosen token's and that many alternatives'."""

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, 0, 100)
        _check("top_k", self.top_k, 0, 1_000_000)
        _check("top_p", self.top_p, 0, 1)
        _check("min_p", self.min_p, 0, 1)
        _check("typical_p", self.typical_p, 0, 1)
        _check("repeat_penalty", self.repeat_penalty, 1e-3, 100)
        _check("presence_penalty", self.presence_penalty, -100, 100)
        _check("frequency_penalty", self.frequency_penalty, -100, 100)
        _check("penalty_window", self.penalty_window, -1, 1_000_000_000)
        _check("num_logprobs", self.num_logprobs or 0, 0, 20)
        if self.max_tokens is not None:
            _check("max_tokens", self.max_tokens, 0, 1_000_000_000)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidInput(f"{name} must be between {low:g} and {high:g}, not {value:g}")


@dataclass(frozen=True)
class Request:
    """One prompt to be continued.

    `priority` 0 is interactive; larger numbers give way to it. `client` says whose it is, in any
    words (a key, an address): clients share the machine evenly, however many requests each has;
    "" is a client like any other.
    """

    id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams = SamplingParams()
    grammar: Grammar | None = None
    priority: int = 0
    client: str = ""
    max_context_tokens: int | None = None
    """Prompt and output together; None: what the engine holds."""
    num_kept_tokens: int | None = None
    """When the context is full. None: the output ends. Else it goes on: so many first tokens stay,
    the older half of the others is dropped, and what is left is computed again as a prompt, so that
    the rest of the text is exactly what the model says to it. A longer prompt is taken for one
    whose end is such an output."""
    num_resumed_tokens: int = 0
    """So many of the prompt's last tokens are output given before: the grammar follows them too."""
    num_prompt_logprobs: int | None = None
    """As `SamplingParams.num_logprobs`, for the prompt's own tokens; nothing is reused then."""


@dataclass(frozen=True)
class TokenLogprob:
    """Natural log-probability of one token at one place, before temperature and penalties."""

    token_id: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()
    """(token_id, logprob), most likely first."""


@dataclass(frozen=True)
class RequestStats:
    """What one request cost; complete when it has finished."""

    num_prompt_tokens: int
    num_cached_tokens: int
    """Prompt tokens whose keys and values were reused."""
    num_output_tokens: int
    num_draft_tokens: int
    num_accepted_tokens: int
    queue_s: float
    prefill_s: float
    decode_s: float
    num_dropped_tokens: int = 0
    """Taken out of a full context while the answer was written."""


@dataclass(frozen=True)
class StepOutput:
    """What one engine step did for one request: no, one or (speculation) several new tokens."""

    request_id: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token when the request asked for them."""
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """The next ones of the prompt's tokens, its second token first, when asked for."""
    num_computed_tokens: int = 0
    """Prompt tokens done so far; progress while a long prompt is prefilled."""
    finish_reason: FinishReason | None = None
    stats: RequestStats | None = None
    """Given with `finish_reason`."""
    error: UserError | None = None
    """Given with the reason `error`."""

"""What the daemon and a worker process say to each other: one JSON object per line.

The daemon writes messages to the worker's standard input, the worker writes events to its standard
output. `Load` comes first, and once; `Ready` or `Failed` answers it. Each `Generate` is answered by
`Started`, any number of `Progress` and `Delta`, then `Done` or `Failed`. `Abort` has no answer. The
end of its input ends the worker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.request import Grammar, RequestStats, SamplingParams
from models import errors
from models.errors import UserError
from models.memory_plan import KvType

Json = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """The model, by its name or path in the library at `library`, and how much it may use."""

    model: str
    library: str
    adapter: str | None = None
    draft: str | None = None
    """A model that drafts for it."""
    is_draft_needed: bool = True
    """Whether a draft model that does not suit the model is an error, or is left out."""
    max_context_tokens: int | None = None
    kv_cache_bytes: int | None = None
    kv_type: KvType | None = None
    """How keys and values are kept; None: as memory allows."""
    num_threads: int | None = None
    prefix_directory: str | None = None
    """Where prefixes outlive the worker; None: nowhere."""
    prefix_bytes: int = 0
    kernel_checks: str | None = None
    """File that keeps what the kernels' check on this machine found."""


@dataclass(frozen=True)
class Generate:
    """One answer. The prompt is `messages` through the chat template, or token ids, then text."""

    id: str
    messages: Sequence[Json] | None = None
    template: str | None = None
    """In place of the model's own."""
    tools: Sequence[Json] | None = None
    must_call: bool = False
    """Whether the answer has to be calls of `tools`."""
    parallel_calls: bool = True
    """Whether it may have more than one."""
    think: bool | str | None = None
    max_thinking_tokens: int | None = None
    """A longer thought is ended for the model, which then answers."""
    prompt: str = ""
    """Verbatim, when there are no messages."""
    suffix: str = ""
    """What comes behind the gap that the answer is to fill; `prompt` is what comes before it."""
    prompt_token_ids: Sequence[int] = ()
    """Verbatim, before `prompt`."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    grammar: Grammar | None = None
    stop: Sequence[str] = ()
    priority: int = 0
    client: str = ""
    """Who asks; see `engine.request.Request` for both."""
    max_context_tokens: int | None = None
    """Prompt and answer together; None: what the model holds."""
    resumed_token_ids: Sequence[int] = ()
    """Output that an earlier worker gave before it died; the answer goes on behind it."""
    return_prompt_ids: bool = False
    num_prompt_logprobs: int | None = None
    """As `sampling.num_logprobs`, for the prompt's own tokens."""
    shift: bool = False
    """Whether what follows the first part may be dropped where the context is full."""
    num_kept_tokens: int | None = None
    """Length of the first part; None: all that comes before what the user says first."""
    truncate: bool = True
    """Whether old turns may be left out when the conversation does not fit."""


@dataclass(frozen=True)
class Abort:
    """Forget a request; its blocks are free at once."""

    id: str


@dataclass(frozen=True)
class Tokenize:
    """Answered by `Tokenized`."""

    id: str
    text: str
    add_special: bool = True
    with_pieces: bool = False


@dataclass(frozen=True)
class Detokenize:
    """Answered by `Detokenized`."""

    id: str
    token_ids: Sequence[int]


@dataclass(frozen=True)
class Embed:
    """Answered by `Progress` and `Embedded`, one vector for each text."""

    id: str
    texts: Sequence[str | Sequence[int]]
    """As text or as token ids."""
    truncate: bool = True
    """Whether what does not fit into the context is cut off; else it is refused."""


@dataclass(frozen=True)
class Explain:
    """Why so much of a request's prompt was reused and no more; answered by `Explained`."""

    id: str
    request_id: str


@dataclass(frozen=True)
class Shutdown:
    """Finish nothing more and exit."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""

    context_length: int
    trained_context_length: int
    weight_bytes: int
    kv_bytes: int
    load_s: float
    kv_type: KvType = "f16"
    """How keys and values are kept."""
    kv_token_bytes: int = 0
    """Bytes of one token's; 0 where they are not kept by the token."""
    supports_tools: bool = False
    supports_thinking: bool = False
    replaced_kernels: Sequence[str] = ()
    """Metal kernels that failed their check on this machine, and how."""


@dataclass(frozen=True)
class Started:
    """The prompt is queued."""

    id: str
    num_prompt_tokens: int
    prompt_token_ids: Sequence[int] = ()
    """Given when asked for."""
    num_dropped_messages: int = 0
    """Old turns that were left out because they did not fit."""
    num_dropped_tokens: int = 0


@dataclass(frozen=True)
class Progress:
    """So many of the prompt's tokens are computed."""

    id: str
    num_computed_tokens: int


@dataclass(frozen=True)
class Delta:
    """More of the answer; `token_ids` are the tokens behind it, and may come before any text."""

    id: str
    token_ids: Sequence[int] = ()
    content: str = ""
    thinking: str = ""
    tool_calls: Sequence[Json] = ()
    """Each `{"name": str, "arguments": dict}`, once it is whole."""
    call_parts: Sequence[Json] = ()
    """The same calls as they come, each the fields of `engine.text.output_pieces.CallPart`."""
    logprobs: Sequence[Json] = ()
    """Each `{"token", "bytes", "logprob", "top_logprobs": [{"token", "bytes", "logprob"}]}`."""
    prompt_logprobs: Sequence[Json] = ()
    """The same for the next tokens of the prompt; the very first one's logprob is null."""


@dataclass(frozen=True)
class Done:
    """The answer is complete."""

    id: str
    finish_reason: str
    stats: RequestStats
    stop: str = ""
    """The stop string that ended it, where one did."""


@dataclass(frozen=True)
class Tokenized:
    """Token ids of a `Tokenize`."""

    id: str
    token_ids: Sequence[int]
    pieces: Sequence[Sequence[int]] = ()
    """The bytes of each token, when asked for."""


@dataclass(frozen=True)
class Detokenized:
    """Text of a `Detokenize`."""

    id: str
    text: str


@dataclass(frozen=True)
class Embedded:
    """Vectors of an `Embed`, as the model gives them."""

    id: str
    vectors: Sequence[str]
    """Each as base64 of little-endian float32."""
    num_prompt_tokens: int


@dataclass(frozen=True)
class Explained:
    """What a prompt shares with the earlier one that it is nearest to.

    `cause` is that of `engine.prompt_history`. The texts are the last of what is shared, and what
    follows in each; `token` and `nearest_token` are the first that differ.
    """

    id: str
    request_id: str
    cause: str
    num_prompt_tokens: int
    num_cached_tokens: int
    num_shared_tokens: int = 0
    nearest_request_id: str | None = None
    shared_text: str = ""
    text: str = ""
    nearest_text: str = ""
    token: str | None = None
    nearest_token: str | None = None


@dataclass(frozen=True)
class Failed:
    """A request, or without id the load, ended with an error a user can cause."""

    id: str | None
    kind: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: UserError, request_id: str | None = None) -> "Failed":
        """What carries `error` across."""
        return cls(request_id, type(error).__name__, error.message, error.hint)

    @property
    def error(self) -> UserError:
        """The error on this side; of the plain kind when its class is not known."""
        known = getattr(errors, self.kind, UserError)
        assert issubclass(known, UserError)
        return known(self.message, hint=self.hint)


@dataclass(frozen=True)
class Metrics:
    """`engine.metrics.StepMetrics`, at most once a second while the engine works, and once idle."""

    counts: Mapping[str, int | float] = field(default_factory=dict)


Message = Load | Generate | Abort | Tokenize | Detokenize | Embed | Explain | Shutdown
RequestEvent = (
    Started | Progress | Delta | Done | Tokenized | Detokenized | Embedded | Explained | Failed
)
Event = Ready | RequestEvent | Metrics

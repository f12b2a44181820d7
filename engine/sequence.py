"""The engine's mutable state of one request."""

from dataclasses import dataclass, field
from enum import Enum

from engine.prefix_cache import CachedBlock
from engine.request import FinishReason, Request, RequestStats


class Status(Enum):
    """Life of a sequence; a preempted one waits again."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(eq=False)
class Sequence:
    """Tokens, cache blocks and progress of one request.

    `token_ids` is prompt and output together. Keys and values of the first `num_computed_tokens`
    of them are in the blocks of `block_table`, in order; draft tokens are in neither.
    """

    request: Request
    seed: int
    arrival_s: float
    turn_s: float
    """Sequences run in this order; see `engine.turns`."""
    token_ids: list[int] = field(init=False)
    status: Status = Status.WAITING
    block_table: list[int] = field(default_factory=list)
    num_computed_tokens: int = 0
    num_cached_tokens: int = 0
    cache_node: CachedBlock | None = None
    """The node of the last full block that the prefix cache knows."""
    num_cache_nodes: int = 0
    """Depth of `cache_node`: so many leading blocks are known to the prefix cache."""
    num_scored_tokens: int = 1
    """Prompt tokens whose log-probability was given, or is not defined as the first one's."""
    num_dropped_tokens: int = 0
    """Taken out of `token_ids` when the context was full."""
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    first_scheduled_s: float | None = None
    first_token_s: float | None = None
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.token_ids = list(self.request.prompt_token_ids)

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the request itself."""
        return len(self.request.prompt_token_ids)

    @property
    def is_scoring(self) -> bool:
        """Whether the prompt's own log-probabilities are wanted."""
        return self.request.num_prompt_logprobs is not None

    @property
    def num_output_tokens(self) -> int:
        """Tokens generated so far."""
        return self.num_seen_tokens - self.num_prompt_tokens

    @property
    def num_seen_tokens(self) -> int:
        """Tokens so far, dropped ones too: the place of the next one in the whole text."""
        return len(self.token_ids) + self.num_dropped_tokens

    @property
    def num_uncomputed_tokens(self) -> int:
        """Tokens whose keys and values are missing; 1 while decoding, more in prefill."""
        return len(self.token_ids) - self.num_computed_tokens

    def stats(self, now_s: float) -> RequestStats:
        """What the request cost up to `now_s`."""
        scheduled_s = self.first_scheduled_s if self.first_scheduled_s is not None else now_s
        first_token_s = self.first_token_s if self.first_token_s is not None else now_s
        return RequestStats(
            num_prompt_tokens=self.num_prompt_tokens,
            num_cached_tokens=self.num_cached_tokens,
            num_output_tokens=self.num_output_tokens,
            num_draft_tokens=self.num_draft_tokens,
            num_accepted_tokens=self.num_accepted_tokens,
            queue_s=scheduled_s - self.arrival_s,
            prefill_s=first_token_s - scheduled_s,
            decode_s=now_s - first_token_s,
            num_dropped_tokens=self.num_dropped_tokens,
        )

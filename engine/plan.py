"""What one step does, as ints: which tokens of which sequences run, and what was chosen."""

from dataclasses import dataclass

from engine.request import TokenLogprob
from engine.sequence import Sequence
from models.errors import UserError


@dataclass(frozen=True)
class SchedulerLimits:
    """Budgets of one step and of one sequence."""

    max_step_tokens: int = 512
    max_prefill_tokens_beside_decode: int = 64
    """Prefill in a step that others decode in, until it is known what fits (`engine.pace`)."""
    max_running: int = 64
    max_context_tokens: int = 4096
    max_draft_tokens: int = 16


@dataclass(frozen=True)
class ScheduledSequence:
    """One sequence's tokens in a step: known ones from position `start`, then drafts."""

    sequence: Sequence
    start: int
    token_ids: tuple[int, ...]
    draft_token_ids: tuple[int, ...] = ()

    @property
    def num_scheduled_tokens(self) -> int:
        """Rows this sequence has in the step."""
        return len(self.token_ids) + len(self.draft_token_ids)

    @property
    def is_decode(self) -> bool:
        """Whether it only goes on by one token and its drafts."""
        return len(self.token_ids) == 1

    @property
    def samples(self) -> bool:
        """Whether the step reaches the last known token, so that a next one can be chosen."""
        return self.start + len(self.token_ids) == len(self.sequence)

    @property
    def num_logit_rows(self) -> int:
        """So many of its last rows need logits."""
        if self.sequence.is_scoring and self.start < self.sequence.num_prompt_tokens:
            return self.num_scheduled_tokens
        return 1 + len(self.draft_token_ids) if self.samples else 0


@dataclass(frozen=True)
class SchedulerOutput:
    """The plan of one step."""

    scheduled: tuple[ScheduledSequence, ...]
    copies: tuple[tuple[int, int], ...] = ()
    """(from, to) block ids whose contents are copied, in this order, before the step."""
    restores: tuple[tuple[int, bytes], ...] = ()
    """Blocks whose contents come from disk, before any copy."""

    @property
    def num_rows(self) -> int:
        """Rows of all sequences."""
        return sum(item.num_scheduled_tokens for item in self.scheduled)

    @property
    def is_decode(self) -> bool:
        """Whether nothing is prefilled."""
        return all(item.is_decode for item in self.scheduled)


@dataclass(frozen=True)
class SampledTokens:
    """Tokens chosen for one sequence: accepted drafts, then one more."""

    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    grammar_finished: bool = False
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """Of the prompt's tokens that follow this step's rows, when asked for."""
    error: UserError | None = None
    """Why no token could be chosen; the request ends."""

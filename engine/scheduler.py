"""Which tokens of which sequences run in the next step, and what their results mean.

A step is a flat list of tokens: one for a sequence that decodes, up to the budget for one in
prefill, one and its drafts for one under speculation. All ints and lists; arrays begin elsewhere.
"""

import time
from bisect import insort
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

from engine.block_tables import BlockTables
from engine.prefix_cache import num_common
from engine.request import FinishReason, StepOutput, TokenLogprob
from engine.sequence import Sequence, Status
from models.errors import UserError

PRIORITY_STEP_S = 30.0
"""A request of priority n waits as if it had come n times this much later, so none starves."""

MAX_SCORED_ROWS = 64
"""Rows whose logits are all wanted: each is as wide as the vocabulary."""


@dataclass(frozen=True)
class SchedulerLimits:
    """Budgets of one step and of one sequence."""

    max_step_tokens: int = 512
    max_prefill_tokens_beside_decode: int = 64
    """Prefill in a step that others decode in: bounds how long they wait for their next token."""
    max_running: int = 64
    max_context_tokens: int = 4096
    max_draft_tokens: int = 8


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


class Scheduler:
    """Continuous batching.

    Sequences that decode go first and always fit; what is left of the budget goes to prefill in
    the order of arrival. When blocks run out, the sequence that came last gives its own back and
    is computed again later, mostly from the prefix cache.
    """

    def __init__(
        self,
        tables: BlockTables,
        limits: SchedulerLimits,
        eos_token_ids: frozenset[int],
        propose: Callable[[Sequence, int], SequenceOf[int]],
    ) -> None:
        self.limits = limits
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self._tables = tables
        self._eos_token_ids = eos_token_ids
        self._propose = propose

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence by priority and arrival."""
        insort(self.waiting, sequence, key=_turn)

    def schedule(self) -> SchedulerOutput:
        """The next step's tokens; empty when nothing can run."""
        budget = self.limits.max_step_tokens
        scheduled: list[ScheduledSequence] = []
        for sequence in [s for s in self.running if s.num_uncomputed_tokens == 1]:
            if sequence.status is Status.RUNNING and self._make_room(sequence, 1):
                scheduled.append(self._schedule_decode(sequence, budget))
                budget -= scheduled[-1].num_scheduled_tokens
        scheduled = [item for item in scheduled if item.sequence.status is Status.RUNNING]
        if scheduled:
            budget = min(budget, self.limits.max_prefill_tokens_beside_decode)
        for sequence in [s for s in self.running if s.num_uncomputed_tokens > 1]:
            budget -= self._schedule_prefill(sequence, budget, scheduled)
        while budget > 0 and self.waiting and self._admit(self.waiting[0]):
            budget -= self._schedule_prefill(self.running[-1], budget, scheduled)
        running = tuple(item for item in scheduled if item.sequence.status is Status.RUNNING)
        copies, restores = tuple(self._tables.copies), tuple(self._tables.restores)
        assert running or not (copies or restores)
        self._tables.copies, self._tables.restores = [], []
        return SchedulerOutput(running, copies, restores)

    def update(
        self, output: SchedulerOutput, sampled: dict[str, SampledTokens]
    ) -> list[StepOutput]:
        """Take in a step's results: `sampled` by request id, where there were logits."""
        results = []
        for item in output.scheduled:
            sequence = item.sequence
            if item.samples:
                results.append(self._accept(item, sampled[sequence.request.id]))
            else:
                results.append(self._advance(item, sampled.get(sequence.request.id)))
            if sequence.status is Status.FINISHED:
                self._tables.release(sequence)
            else:
                self._tables.share_full_blocks(sequence)
        return results

    def abort(self, request_id: str) -> StepOutput | None:
        """End a request now, its blocks free at once; None when it is not here."""
        for sequence in [*self.running, *self.waiting]:
            if sequence.request.id == request_id:
                return self._finish(sequence, "abort", release=True)
        return None

    def _schedule_decode(self, sequence: Sequence, budget: int) -> ScheduledSequence:
        limit = min(
            self.limits.max_draft_tokens,
            budget - 1,
            self._max_new_tokens(sequence) - 1,
        )
        drafts = tuple(self._propose(sequence, limit)) if limit > 0 else ()
        while drafts and not self._tables.has_room(sequence, 1 + len(drafts)):
            drafts = drafts[:-1]
        self._tables.extend(sequence, 1 + len(drafts))
        return ScheduledSequence(
            sequence, len(sequence) - 1, (sequence.token_ids[-1],), draft_token_ids=drafts
        )

    def _schedule_prefill(
        self, sequence: Sequence, budget: int, scheduled: list[ScheduledSequence]
    ) -> int:
        num_tokens = min(sequence.num_uncomputed_tokens, budget)
        if sequence.is_scoring:
            num_tokens = min(num_tokens, MAX_SCORED_ROWS)
        if sequence.status is not Status.RUNNING or num_tokens <= 0:
            return 0
        if not self._make_room(sequence, num_tokens):
            return 0
        self._tables.extend(sequence, num_tokens)
        start = sequence.num_computed_tokens
        token_ids = tuple(sequence.token_ids[start : start + num_tokens])
        scheduled.append(ScheduledSequence(sequence, start, token_ids))
        return num_tokens

    def _admit(self, sequence: Sequence) -> bool:
        """Start a waiting sequence on its cached prefix, if the rest of it has room."""
        if len(self.running) >= self.limits.max_running or not self._tables.start(sequence):
            return False
        if sequence.first_scheduled_s is None:
            sequence.first_scheduled_s = time.monotonic()
            sequence.num_cached_tokens = sequence.num_computed_tokens
        sequence.status = Status.RUNNING
        self.waiting.remove(sequence)
        self.running.append(sequence)
        return True

    def _advance(self, item: ScheduledSequence, scored: SampledTokens | None) -> StepOutput:
        sequence = item.sequence
        sequence.num_computed_tokens += len(item.token_ids)
        prompt_logprobs = scored.prompt_logprobs if scored else ()
        sequence.num_scored_tokens += len(prompt_logprobs)
        return StepOutput(
            sequence.request.id,
            prompt_logprobs=prompt_logprobs,
            num_computed_tokens=sequence.num_computed_tokens,
        )

    def _accept(self, item: ScheduledSequence, sampled: SampledTokens) -> StepOutput:
        sequence = item.sequence
        if sampled.error is not None:
            return replace(self._finish(sequence, "error", release=False), error=sampled.error)
        if sequence.first_token_s is None:
            sequence.first_token_s = time.monotonic()
        token_ids, reason = self._until_stop(sequence, sampled)
        sequence.num_computed_tokens = len(sequence) + len(token_ids) - 1
        sequence.token_ids += token_ids
        sequence.num_draft_tokens += len(item.draft_token_ids)
        sequence.num_accepted_tokens += num_common(token_ids, item.draft_token_ids)
        ends = reason == "stop" and bool(token_ids) and token_ids[-1] in self._eos_token_ids
        output = StepOutput(
            sequence.request.id,
            token_ids=tuple(token_ids[:-1] if ends else token_ids),
            logprobs=sampled.logprobs[: len(token_ids) - ends],
            prompt_logprobs=sampled.prompt_logprobs,
            num_computed_tokens=sequence.num_prompt_tokens,
        )
        sequence.num_scored_tokens += len(sampled.prompt_logprobs)
        if reason is None:
            return output
        end = self._finish(sequence, reason, release=False)
        return replace(output, finish_reason=end.finish_reason, stats=end.stats)

    def _until_stop(
        self, sequence: Sequence, sampled: SampledTokens
    ) -> tuple[list[int], FinishReason | None]:
        """The sampled tokens up to the one that ends the sequence, and why it ends."""
        limit = self._max_new_tokens(sequence)
        kept: list[int] = []
        for token_id in sampled.token_ids[:limit]:
            kept.append(token_id)
            if token_id in self._eos_token_ids and not sequence.request.sampling.ignore_eos:
                return kept, "stop"
        if sampled.grammar_finished and len(kept) == len(sampled.token_ids):
            return kept, "stop"
        return kept, "length" if len(kept) == limit else None

    def _max_new_tokens(self, sequence: Sequence) -> int:
        room = self.limits.max_context_tokens - len(sequence)
        wanted = sequence.request.sampling.max_tokens
        return room if wanted is None else min(room, wanted - sequence.num_output_tokens)

    def _finish(self, sequence: Sequence, reason: FinishReason, *, release: bool) -> StepOutput:
        (self.running if sequence.status is Status.RUNNING else self.waiting).remove(sequence)
        sequence.status, sequence.finish_reason = Status.FINISHED, reason
        if release:
            self._tables.release(sequence)
        stats = sequence.stats(time.monotonic())
        return StepOutput(sequence.request.id, finish_reason=reason, stats=stats)

    def _make_room(self, sequence: Sequence, num_tokens: int) -> bool:
        """Preempt the latest until the tokens fit; False when it was the sequence itself."""
        while not self._tables.has_room(sequence, num_tokens):
            latest = max(self.running, key=_turn)
            self._preempt(latest)
            if latest is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.num_preemptions += 1
        self._tables.release(sequence)
        sequence.num_computed_tokens = 0
        self.running.remove(sequence)
        sequence.status = Status.WAITING
        self.add(sequence)


def _turn(sequence: Sequence) -> float:
    return sequence.arrival_s + sequence.request.priority * PRIORITY_STEP_S

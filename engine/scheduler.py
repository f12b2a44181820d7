"""Which tokens of which sequences run in the next step, and what their results mean.

A step is a flat list of tokens: one for a sequence that decodes, up to the budget for one in
prefill, one and its drafts for one under speculation. All ints and lists; arrays begin elsewhere.
"""

import time
from bisect import insort
from collections.abc import Callable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import replace

from engine.block_tables import BlockTables
from engine.plan import SampledTokens, ScheduledSequence, SchedulerLimits, SchedulerOutput
from engine.prefix_cache import num_common
from engine.request import FinishReason, StepOutput
from engine.sequence import Sequence, Status

MAX_SCORED_ROWS = 64
"""Rows whose logits are all wanted: each is as wide as the vocabulary."""

MAX_PASSED_OVER = 16
"""Waiting sequences that may be looked past in one step."""

GIVE_WAY_S = 10.0
"""A running sequence gives way to a waiting one whose turn is so much earlier."""

Propose = Callable[[SequenceOf[tuple[Sequence, int]], int], Mapping[Sequence, SequenceOf[int]]]
"""Drafts for (sequence, at most so many), all together at most so many."""


class Scheduler:
    """Continuous batching.

    Sequences that decode go first and always fit; what is left of the budget goes to prefill in
    the order of turns. When blocks run out, the sequence of the last turn gives its own back and
    is computed again later, mostly from the prefix cache. One that begins like another whose
    prompt is just being computed waits for that and shares it, as the choices of one request do.
    """

    def __init__(
        self,
        tables: BlockTables,
        limits: SchedulerLimits,
        eos_token_ids: frozenset[int],
        propose: Propose,
    ) -> None:
        self.limits = limits
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self.max_prefill_beside_decode = limits.max_prefill_tokens_beside_decode
        """Rows of prefill in a step that others decode in: how long they wait for their next."""
        self._tables = tables
        self._eos_token_ids = eos_token_ids
        self._propose = propose
        self._items: dict[Sequence, ScheduledSequence] = {}
        """The plan in the making."""

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence by its turn.

        What does not fit is dropped as it was when the tokens came one by one, so that an answer
        that is gone on with has the context that it had.
        """
        self._drop(sequence)
        insort(self.waiting, sequence, key=_turn)

    def schedule(self) -> SchedulerOutput:
        """The next step's tokens; empty when nothing can run."""
        self._items = {}
        self._schedule_decodes()
        budget = self.limits.max_step_tokens - self._num_rows()
        if self._items:
            budget = min(budget, self.max_prefill_beside_decode)
        for sequence in sorted(self.running, key=_turn):
            if sequence.num_uncomputed_tokens > 1 and sequence not in self._items:
                budget -= self._schedule_prefill(sequence, budget)
        self._schedule_waiting(budget)
        copies, restores = self._tables.take_transfers()
        assert self._items or not (copies or restores)
        return SchedulerOutput(tuple(self._items.values()), copies, restores)

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
            elif self._room(sequence) == 0:
                self._shift(sequence)
            else:
                self._tables.share_full_blocks(sequence)
        return results

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that has not ended."""
        unfinished = (*self.running, *self.waiting)
        return next((each for each in unfinished if each.request.id == request_id), None)

    def abort(self, sequence: Sequence) -> StepOutput:
        """End a sequence now, its blocks free at once."""
        return self._finish(sequence, "abort", release=True)

    def _num_rows(self) -> int:
        return sum(item.num_scheduled_tokens for item in self._items.values())

    def _schedule_decodes(self) -> None:
        """A row for every sequence that decodes, then drafts as far as there is room."""
        for sequence in [s for s in self.running if s.num_uncomputed_tokens == 1]:
            if sequence.status is Status.RUNNING and self._make_room(sequence, 1):
                self._tables.extend(sequence, 1)
                self._items[sequence] = ScheduledSequence(
                    sequence, len(sequence) - 1, (sequence.token_ids[-1],)
                )
        wishes = [
            (sequence, min(self.limits.max_draft_tokens, self._max_new_tokens(sequence) - 1))
            for sequence in self._items
        ]
        wishes = [(sequence, limit) for sequence, limit in wishes if limit > 0]
        if not wishes:
            return
        drafts = self._propose(wishes, self.limits.max_step_tokens - len(self._items))
        for sequence, token_ids in drafts.items():
            kept = tuple(token_ids)
            while kept and not self._tables.has_room(sequence, 1 + len(kept)):
                kept = kept[:-1]
            self._tables.extend(sequence, 1 + len(kept))
            self._items[sequence] = replace(self._items[sequence], draft_token_ids=kept)

    def _schedule_prefill(self, sequence: Sequence, budget: int) -> int:
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
        self._items[sequence] = ScheduledSequence(sequence, start, token_ids)
        return num_tokens

    def _schedule_waiting(self, budget: int) -> None:
        """Let sequences in by their turns, until one finds no room."""
        num_passed_over = 0
        for sequence in list(self.waiting):
            if budget <= 0 or num_passed_over == MAX_PASSED_OVER:
                return
            earlier = [other for other in self.running if other.turn_s <= sequence.turn_s]
            if self._tables.is_being_computed(sequence, earlier):
                num_passed_over += 1
                continue
            if not self._admit(sequence):
                return
            budget -= self._schedule_prefill(sequence, budget)

    def _admit(self, sequence: Sequence) -> bool:
        """Start a waiting sequence on its known prefix, if the rest of it has room."""
        while len(self.running) >= self.limits.max_running or not self._tables.start(
            sequence, self.running
        ):
            latest = max(self.running, key=_turn, default=sequence)
            if latest.turn_s < sequence.turn_s + GIVE_WAY_S:
                return False
            self._preempt(latest)
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
        goes_on = _can_shift(sequence) and limit != _num_wanted(sequence)
        return kept, "length" if len(kept) == limit and not goes_on else None

    def _max_tokens(self, sequence: Sequence) -> int:
        limit = self.limits.max_context_tokens
        return min(limit, sequence.request.max_context_tokens or limit)

    def _room(self, sequence: Sequence) -> int:
        """Tokens that the context still holds."""
        return self._max_tokens(sequence) - len(sequence)

    def _max_new_tokens(self, sequence: Sequence) -> int:
        room, wanted = self._room(sequence), _num_wanted(sequence)
        return room if wanted is None else min(room, wanted)

    def _shift(self, sequence: Sequence) -> None:
        """Queue a full context again: half of it goes, the rest is computed like a prompt."""
        self._tables.release(sequence)
        self._requeue(sequence)

    def _drop(self, sequence: Sequence) -> None:
        """Take out the older half of what may go, whenever the tokens so far fill the context."""
        kept = sequence.request.num_kept_tokens
        while self._room(sequence) <= 0:
            assert kept is not None, "a full context has ended the others"
            end = kept + (self._max_tokens(sequence) - kept + 1) // 2
            sequence.num_dropped_tokens += end - kept
            del sequence.token_ids[kept:end]

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
        self._items.pop(sequence, None)
        self._tables.release(sequence)
        self._requeue(sequence)

    def _requeue(self, sequence: Sequence) -> None:
        sequence.num_computed_tokens = 0
        self.running.remove(sequence)
        sequence.status = Status.WAITING
        self.add(sequence)


def _turn(sequence: Sequence) -> float:
    return sequence.turn_s


def _num_wanted(sequence: Sequence) -> int | None:
    """Tokens that the request still asks for."""
    wanted = sequence.request.sampling.max_tokens
    return None if wanted is None else wanted - sequence.num_output_tokens


def _can_shift(sequence: Sequence) -> bool:
    kept = sequence.request.num_kept_tokens
    return kept is not None and len(sequence) - kept >= 2

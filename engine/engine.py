"""Tokens in, tokens out: requests are added, `step` moves all of them on at once."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.block_pool import BlockPool
from engine.block_tables import BlockTables
from engine.disk_cache import DiskCache
from engine.prefix_cache import PrefixCache
from engine.request import Grammar, Request, StepOutput, TokenLogprob
from engine.sampler import Logits, sample, token_logprob
from engine.scheduler import SampledTokens, ScheduledSequence, Scheduler, SchedulerLimits
from engine.sequence import Sequence
from engine.speculative import NgramProposer
from models.errors import InvalidInput, UserError

if TYPE_CHECKING:
    from engine.model_runner import ModelRunner

MIN_SAVED_BLOCKS = 4
"""Shorter prefixes are computed as fast as they are read."""


class Matcher(Protocol):
    """Follows one output through its grammar (`engine.text.grammar`)."""

    @property
    def is_finished(self) -> bool:
        """Nothing more may follow."""

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, [V]."""

    def accept(self, token_id: int) -> None:
        """The token that came."""


@dataclass(frozen=True)
class EngineMetrics:
    """The engine at one moment."""

    num_running: int
    num_waiting: int
    num_blocks: int
    num_free_blocks: int
    num_cached_blocks: int
    block_size: int
    kv_bytes: int
    num_steps: int
    num_preemptions: int


class Engine:
    """One model's requests. `step` is the main loop's body; nothing here knows text."""

    def __init__(
        self,
        runner: "ModelRunner",
        pool: BlockPool,
        limits: SchedulerLimits,
        *,
        eos_token_ids: frozenset[int],
        make_matcher: Callable[[Grammar], Matcher],
        disk_cache: DiskCache | None = None,
    ) -> None:
        self.limits = limits
        self._runner = runner
        self._pool = pool
        self._cache = PrefixCache(pool)
        self._make_matcher = make_matcher
        self._matchers: dict[str, Matcher] = {}
        proposer = NgramProposer(limits.max_draft_tokens)
        self._disk_cache = disk_cache
        self._saved: set[str] = set()
        read_saved = disk_cache.read if disk_cache else lambda _key: None
        tables = BlockTables(pool, self._cache, read_saved)
        self._scheduler = Scheduler(tables, limits, eos_token_ids, proposer.propose)
        self._num_steps = 0

    def add_request(self, request: Request) -> None:
        """Queue a request.

        Raises:
            InvalidInput: the prompt is empty or leaves no room in the context, or the grammar
                cannot be followed.
        """
        num_tokens, limit = len(request.prompt_token_ids), self.limits.max_context_tokens
        if not num_tokens:
            raise InvalidInput("the prompt has no tokens; at least one is needed")
        if num_tokens >= limit:
            raise InvalidInput(
                f"the prompt has {num_tokens} tokens; the context holds {limit}, answer included",
                hint="shorten the conversation, or ask for a larger context (num_ctx)",
            )
        if request.grammar is not None:
            matcher = self._make_matcher(request.grammar)
            for token_id in request.prompt_token_ids[num_tokens - request.num_resumed_tokens :]:
                matcher.accept(token_id)
            self._matchers[request.id] = matcher
        seed = request.sampling.seed
        seed = secrets.randbits(63) if seed is None else seed
        self._scheduler.add(Sequence(request, seed, time.monotonic()))

    @property
    def has_unfinished(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._scheduler.waiting or self._scheduler.running)

    def step(self) -> list[StepOutput]:
        """Run one step: decide, compute, choose, take in."""
        plan = self._scheduler.schedule()
        if not plan.scheduled:
            return []
        logits = self._runner.run(plan)
        outputs = self._scheduler.update(plan, self._choose(plan.scheduled, logits))
        for output in outputs:
            if output.finish_reason is not None:
                self._matchers.pop(output.request_id, None)
        self._num_steps += 1
        return outputs

    def abort(self, request_id: str) -> StepOutput | None:
        """End a request now and free its blocks; None when it is not here."""
        self._matchers.pop(request_id, None)
        return self._scheduler.abort(request_id)

    def save_prefixes(self, max_blocks: int) -> int:
        """Write at most so many blocks of long prefixes to disk, for idle moments; the number.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if self._disk_cache is None:
            return 0
        unsaved = [
            node
            for leaf in self._cache.full_leaves()
            if len(path := leaf.path()) >= MIN_SAVED_BLOCKS
            for node in path
            if node.key not in self._saved
        ]
        for node in unsaved[:max_blocks]:
            if node.key not in self._disk_cache:
                self._disk_cache.write(node.key, self._runner.kv_cache.read_block(node.block_id))
            self._saved.add(node.key)
        return len(unsaved[:max_blocks])

    @property
    def metrics(self) -> EngineMetrics:
        """Counts for `ps`, `/metrics` and the terminal app."""
        return EngineMetrics(
            num_running=len(self._scheduler.running),
            num_waiting=len(self._scheduler.waiting),
            num_blocks=self._pool.num_blocks,
            num_free_blocks=self._pool.num_free,
            num_cached_blocks=self._pool.num_cached,
            block_size=self._pool.block_size,
            kv_bytes=self._runner.kv_cache.num_bytes,
            num_steps=self._num_steps,
            num_preemptions=self._scheduler.num_preemptions,
        )

    def check_integrity(self) -> None:
        """Assert that every block is accounted for; for tests, after any step."""
        self._pool.check_integrity()
        self._cache.check_integrity()
        held = [b for s in self._scheduler.running for b in s.block_table]
        for block_id in range(self._pool.num_blocks):
            assert held.count(block_id) == self._pool.ref_count(block_id)
        assert not any(s.block_table for s in self._scheduler.waiting)

    def _choose(
        self, scheduled: tuple[ScheduledSequence, ...], logits: Logits
    ) -> dict[str, SampledTokens]:
        chosen, row = {}, 0
        for item in scheduled:
            rows = logits[row : row + item.num_logit_rows]
            row += item.num_logit_rows
            if not len(rows):
                continue
            scored = _score_prompt(item, rows)
            num_sampled = 1 + len(item.draft_token_ids) if item.samples else 0
            try:
                sampled = self._verify(item, rows[len(rows) - num_sampled :])
            except UserError as error:  # a grammar that cannot go on is one request's trouble
                sampled = SampledTokens((), error=error)
            chosen[item.sequence.request.id] = replace(sampled, prompt_logprobs=scored)
        return chosen

    def _verify(self, item: ScheduledSequence, rows: Logits) -> SampledTokens:
        """Sample row by row for as long as the drafts agree with what is sampled."""
        sequence, params = item.sequence, item.sequence.request.sampling
        matcher = self._matchers.get(sequence.request.id)
        known, token_ids, logprobs = list(sequence.token_ids), [], []
        for i, row in enumerate(rows):
            allowed = row if matcher is None else np.where(matcher.allowed(), row, -np.inf)
            token_id = sample(allowed, params, known, sequence.seed, len(known))
            known.append(token_id)
            token_ids.append(token_id)
            if params.num_logprobs is not None:
                logprobs.append(token_logprob(row, token_id, params.num_logprobs))
            if matcher is not None:
                matcher.accept(token_id)
                if matcher.is_finished:
                    break
            if i == len(item.draft_token_ids) or token_id != item.draft_token_ids[i]:
                break
        finished = matcher is not None and matcher.is_finished
        return SampledTokens(tuple(token_ids), tuple(logprobs), finished)


def _score_prompt(item: ScheduledSequence, rows: Logits) -> tuple[TokenLogprob, ...]:
    """Log-probabilities of the prompt's tokens that follow `rows`, each given once."""
    sequence, number = item.sequence, item.sequence.request.num_prompt_logprobs
    if number is None:
        return ()
    positions = range(item.start + 1, item.start + 1 + len(rows))
    return tuple(
        token_logprob(row, sequence.token_ids[position], number)
        for row, position in zip(rows, positions, strict=True)
        if sequence.num_scored_tokens <= position < sequence.num_prompt_tokens
    )

"""Tokens in, tokens out: requests are added, `step` moves all of them on at once."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.block_pool import BlockPool
from engine.block_tables import BlockTables
from engine.disk_cache import DiskCache
from engine.metrics import StepMetrics
from engine.pace import PrefillPace
from engine.plan import SchedulerLimits, SchedulerOutput
from engine.prefix_cache import PrefixCache, num_common
from engine.prompt_history import PrefixReport, PromptHistory
from engine.request import Grammar, Request, StepOutput
from engine.scheduler import Scheduler
from engine.sequence import Sequence, Status
from engine.speculation import Drafter, Speculation
from engine.turns import Turns
from engine.verification import Matcher, choose_tokens, first_masks
from models.errors import InvalidInput

if TYPE_CHECKING:
    from engine.model_runner import ModelRunner
    from engine.state_runner import StateRunner

MIN_SAVED_BLOCKS = 4
"""Shorter prefixes are computed as fast as they are read."""


class Engine:
    """One model's requests. `step` is the main loop's body; nothing here knows text.

    Requests of several choices are several requests with one prompt and seeds of their own: the
    prompt is computed once, and the choices share its blocks for as long as they write elsewhere.
    """

    def __init__(
        self,
        runner: "ModelRunner | StateRunner",
        pool: BlockPool,
        limits: SchedulerLimits,
        *,
        eos_token_ids: frozenset[int],
        num_logits: int,
        make_matcher: Callable[[Grammar], Matcher],
        disk_cache: DiskCache | None = None,
        drafter: Drafter | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.limits = limits
        self._runner = runner
        self._pool = pool
        self._cache = PrefixCache(pool)
        self._num_logits = num_logits
        self._make_matcher = make_matcher
        self._matchers: dict[str, Matcher] = {}
        self._disk_cache = disk_cache
        self._saved: set[str] = set()
        read_saved = disk_cache.read if disk_cache else lambda _key: None
        tables = BlockTables(pool, self._cache, read_saved, is_sharing=runner.is_paged)
        self._speculation = Speculation(drafter)
        self._draft_bytes = drafter.num_bytes if drafter else 0
        self._scheduler = Scheduler(tables, limits, eos_token_ids, self._speculation.propose)
        self._pace = PrefillPace(limits.max_prefill_tokens_beside_decode)
        self._turns = turns or Turns()
        self._history = PromptHistory()
        self._metrics = StepMetrics()

    def add_request(self, request: Request) -> None:
        """Queue a request.

        Raises:
            InvalidInput: the prompt is empty, leaves no room in the context or has tokens that do
                not exist, or the grammar cannot be followed.
        """
        self._check(request)
        if request.grammar is not None:
            matcher = self._make_matcher(request.grammar)
            first = len(request.prompt_token_ids) - request.num_resumed_tokens
            for token_id in request.prompt_token_ids[first:]:
                matcher.accept(token_id)
            self._matchers[request.id] = matcher
        seed = request.sampling.seed
        seed = secrets.randbits(63) if seed is None else seed
        sequence = Sequence(request, seed, time.monotonic(), self._turns.assign(request))
        self._history.add(sequence)
        self._scheduler.add(sequence)

    def _check(self, request: Request) -> None:
        num_tokens = len(request.prompt_token_ids)
        limit = self.limits.max_context_tokens
        limit = min(limit, request.max_context_tokens or limit)
        kept = request.num_kept_tokens
        can_shift = kept is not None and limit - kept >= 2
        if not num_tokens:
            raise InvalidInput("the prompt has no tokens; at least one is needed")
        if num_tokens >= limit and not can_shift:
            raise InvalidInput(
                f"the prompt has {num_tokens} tokens; the context holds {limit}, answer included",
                hint="shorten the conversation, or ask for a larger context (num_ctx)",
            )
        for what, token_ids in (
            ("the prompt", request.prompt_token_ids),
            ("logit_bias", request.sampling.logit_bias),
        ):
            if token_ids and not 0 <= min(token_ids) <= max(token_ids) < self._num_logits:
                raise InvalidInput(
                    f"{what} has a token that does not exist; ids are below {self._num_logits}"
                )

    @property
    def is_paged(self) -> bool:
        """Whether keys and values are in blocks; else each sequence has a state of its own."""
        return self._runner.is_paged

    @property
    def has_unfinished(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._scheduler.waiting or self._scheduler.running)

    def step(self) -> list[StepOutput]:
        """Run one step: decide, compute, choose, take in.

        What a grammar allows is found out while the network computes.
        """
        begun_s = time.perf_counter()
        plan = self._scheduler.schedule()
        if not plan.scheduled:
            return []
        scheduled_s = time.perf_counter()
        logits = self._runner.begin(plan)
        masks = first_masks(plan.scheduled, self._matchers)
        chosen = choose_tokens(plan.scheduled, self._runner.finish(logits), self._matchers, masks)
        outputs = self._scheduler.update(plan, chosen)
        self._learn(plan, outputs, time.perf_counter() - scheduled_s)
        self._metrics = self._metrics.after_step(plan, outputs, time.perf_counter() - begun_s)
        return outputs

    def _learn(self, plan: SchedulerOutput, outputs: list[StepOutput], step_s: float) -> None:
        """What the step says about later ones: its cost, the worth of drafts, and who has ended."""
        if plan.is_decode:
            self._speculation.step_cost.observe(plan.num_rows, step_s)
        else:
            num_decode = sum(i.num_scheduled_tokens for i in plan.scheduled if i.is_decode)
            decode_s = self._speculation.step_cost.estimate_s(num_decode)
            self._pace.learn(plan, step_s, decode_s, self.limits.max_step_tokens)
            self._scheduler.max_prefill_beside_decode = self._pace.num_rows
        for item, output in zip(plan.scheduled, outputs, strict=True):
            accepted = num_common(output.token_ids, item.draft_token_ids)
            self._speculation.learn(item, accepted)
            if item.sequence.status is Status.FINISHED:
                self._forget(item.sequence)

    def _forget(self, sequence: Sequence) -> None:
        self._matchers.pop(sequence.request.id, None)
        self._speculation.forget(sequence)
        self._history.finish(sequence.request.id)

    def abort(self, request_id: str) -> StepOutput | None:
        """End a request now and free its blocks; None when it is not here."""
        sequence = self._scheduler.find(request_id)
        if sequence is None:
            return None
        output = self._scheduler.abort(sequence)
        self._forget(sequence)
        return output

    def explain_prefix(self, request_id: str) -> PrefixReport:
        """Why so much of a late request's prompt was reused, and no more.

        Raises:
            NotFound: no such request, or too many came since.
        """
        return self._history.explain(request_id)

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
                self._disk_cache.write(node.key, self._runner.read_block(node.block_id))
            self._saved.add(node.key)
        return len(unsaved[:max_blocks])

    @property
    def metrics(self) -> StepMetrics:
        """The last step, and how the engine stands."""
        pool, scheduler = self._pool, self._scheduler
        return replace(
            self._metrics,
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting),
            num_blocks=pool.num_blocks,
            num_free_blocks=pool.num_free,
            num_cached_blocks=pool.num_cached,
            block_size=pool.block_size,
            kv_bytes=self._runner.num_cache_bytes + self._draft_bytes,
            kv_waste=self._kv_waste(),
            num_preemptions=scheduler.num_preemptions,
            num_evictions=self._cache.num_evictions,
        )

    def _kv_waste(self) -> float:
        size = self._pool.block_size
        num_rows = (self._pool.num_blocks - self._pool.num_free) * size
        num_held = self._cache.num_known_tokens + sum(
            sequence.num_computed_tokens - sequence.num_cache_nodes * size
            for sequence in self._scheduler.running
        )
        return 1 - num_held / num_rows if num_rows else 0.0

    def check_integrity(self) -> None:
        """Assert that every block is accounted for; for tests, after any step."""
        self._pool.check_integrity()
        self._cache.check_integrity()
        held = [b for s in self._scheduler.running for b in s.block_table]
        for block_id in range(self._pool.num_blocks):
            assert held.count(block_id) == self._pool.ref_count(block_id)
        assert not any(s.block_table for s in self._scheduler.waiting)

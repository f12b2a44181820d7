"""A small model that drafts for a large one; its own network, cache and blocks.

It knows nothing of whether drafts pay (`engine.speculation`). Each sequence has a mirror here, with
the same tokens and a block table of its own; after a step it goes back to the last token both agree
on and catches up with what was accepted. A draft is drawn with the noise that the target's token
will be drawn with, so the two agree as often as their distributions allow (`engine.sampler`).
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from engine.block_pool import BlockPool
from engine.block_tables import BlockTables
from engine.model_runner import ModelRunner
from engine.plan import ScheduledSequence, SchedulerOutput
from engine.prefix_cache import PrefixCache, num_common
from engine.sampler import Logits, sample
from engine.sequence import Sequence
from engine.speculation import Wishes
from engine.step_cost import StepCost


@dataclass
class _Mirror:
    """`sequence` holds the target's tokens, then drafts; only the former are ever shared."""

    sequence: Sequence
    num_dropped_tokens: int
    num_agreed_tokens: int = 0
    """Tokens that came from the target."""


class DraftModel:
    """Proposes what a smaller network of the same vocabulary would say.

    Args:
        num_logits: the target's vocabulary [V]; drafts stay inside.
        max_context_tokens: longer texts get no drafts.
        max_rows: prompt tokens computed a step at most, while other streams wait.
    """

    def __init__(
        self,
        runner: ModelRunner,
        pool: BlockPool,
        *,
        num_logits: int,
        max_context_tokens: int,
        max_rows: int,
    ) -> None:
        self._runner = runner
        self._pool = pool
        self._tables = BlockTables(pool, PrefixCache(pool), lambda _key: None)
        self._num_logits = num_logits
        self._max_context_tokens = max_context_tokens
        self._max_rows = max_rows
        self._mirrors: dict[Sequence, _Mirror] = {}
        self._cost = StepCost()

    @property
    def num_bytes(self) -> int:
        """Memory of its keys and values."""
        return self._runner.num_cache_bytes

    def estimate_s(self, num_sequences: int) -> float:
        """Seconds for one more draft token of so many sequences."""
        return self._cost.estimate_s(num_sequences)

    def propose(self, wishes: Wishes) -> dict[Sequence, list[int]]:
        """Up to so many drafts for each; fewer or none where the model has to catch up first."""
        drafts: dict[Sequence, list[int]] = {}
        items = self._catch_up(wishes)
        wanted = dict(wishes)
        while items:
            tokens = self._run(items)
            items = []
            for sequence, token_id in tokens.items():
                drafts.setdefault(sequence, []).append(token_id)
                if len(drafts[sequence]) < wanted[sequence]:
                    item = self._next(sequence, token_id)
                    items += [item] if item is not None else []
        return drafts

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended; its prefix stays known."""
        mirror = self._mirrors.pop(sequence, None)
        if mirror is not None:
            self._go_back(mirror, mirror.num_agreed_tokens)
            self._tables.release(mirror.sequence)

    def check_integrity(self) -> None:
        """Assert that every block is accounted for; for tests, after any step."""
        self._pool.check_integrity()
        held = [b for mirror in self._mirrors.values() for b in mirror.sequence.block_table]
        for block_id in range(self._pool.num_blocks):
            assert held.count(block_id) == self._pool.ref_count(block_id)

    def _catch_up(self, wishes: Wishes) -> list[ScheduledSequence]:
        """Rows for the target's tokens that are not computed here yet, as far as they fit."""
        items, budget = [], self._max_rows
        busy = {sequence for sequence, _ in wishes}
        for sequence, _ in wishes:
            mirror = self._synchronize(sequence, busy)
            if mirror is None:
                continue
            own = mirror.sequence
            num_tokens = min(own.num_uncomputed_tokens, budget)
            if num_tokens and self._make_room(own, num_tokens, busy):
                self._tables.extend(own, num_tokens)
                start = own.num_computed_tokens
                token_ids = tuple(own.token_ids[start : start + num_tokens])
                items.append(ScheduledSequence(own, start, token_ids))
                budget -= num_tokens
        return items

    def _synchronize(self, sequence: Sequence, busy: set[Sequence]) -> _Mirror | None:
        """The mirror with the target's tokens, back where both agree; None without room."""
        if len(sequence) >= self._max_context_tokens:
            return None
        mirror = self._mirrors.get(sequence)
        if mirror is not None and mirror.num_dropped_tokens != sequence.num_dropped_tokens:
            self.forget(sequence)
            mirror = None
        if mirror is None:
            return self._start(sequence, busy)
        own, agreed = mirror.sequence, mirror.num_agreed_tokens
        agreed += num_common(own.token_ids[agreed:], sequence.token_ids[agreed:])
        self._go_back(mirror, min(agreed, len(sequence) - 1))
        own.token_ids += sequence.token_ids[len(own) :]
        mirror.num_agreed_tokens = len(own)
        self._tables.share_full_blocks(own)
        return mirror

    def _start(self, sequence: Sequence, busy: set[Sequence]) -> _Mirror | None:
        request = replace(sequence.request, num_prompt_logprobs=None)
        own = Sequence(request, sequence.seed, sequence.arrival_s, sequence.turn_s)
        own.token_ids = list(sequence.token_ids)
        if not self._make_room(own, len(own), busy) or not self._tables.start(own):
            return None
        mirror = _Mirror(own, sequence.num_dropped_tokens, len(own))
        self._mirrors[sequence] = mirror
        return mirror

    def _go_back(self, mirror: _Mirror, num_tokens: int) -> None:
        own = mirror.sequence
        del own.token_ids[num_tokens:]
        own.num_computed_tokens = min(own.num_computed_tokens, num_tokens)

    def _make_room(self, own: Sequence, num_tokens: int, busy: set[Sequence]) -> bool:
        """Forget idle sequences until the tokens fit."""
        for sequence in [each for each in self._mirrors if each not in busy]:
            if self._tables.has_room(own, num_tokens):
                return True
            self.forget(sequence)
        return self._tables.has_room(own, num_tokens)

    def _next(self, sequence: Sequence, token_id: int) -> ScheduledSequence | None:
        """A row for the draft that was just made, to make the one after it."""
        own = self._mirrors[sequence].sequence
        own.token_ids.append(token_id)
        if len(own) >= self._max_context_tokens or not self._tables.has_room(own, 1):
            return None
        self._tables.extend(own, 1)
        return ScheduledSequence(own, len(own) - 1, (token_id,))

    def _run(self, items: list[ScheduledSequence]) -> dict[Sequence, int]:
        """Compute rows; the drafted token of each sequence whose rows reach its end."""
        copies, restores = self._tables.take_transfers()
        plan = SchedulerOutput(tuple(items), copies, restores)
        begun_s = time.perf_counter()
        logits = self._runner.finish(self._runner.begin(plan))
        tokens, row = {}, 0
        targets = {id(mirror.sequence): target for target, mirror in self._mirrors.items()}
        for item in items:
            own = item.sequence
            own.num_computed_tokens += len(item.token_ids)
            if item.samples:
                target = targets[id(own)]
                tokens[target] = self._draw(target, own, logits[row])
                row += 1
        if plan.is_decode:
            self._cost.observe(len(items), time.perf_counter() - begun_s)
        return tokens

    def _draw(self, target: Sequence, own: Sequence, logits: Logits) -> int:
        missing = max(self._num_logits - len(logits), 0)
        logits = np.pad(logits[: self._num_logits], (0, missing), constant_values=-np.inf)
        place = len(own) + target.num_dropped_tokens
        return sample(logits, target.request.sampling, own.token_ids, target.seed, place)

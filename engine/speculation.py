"""Which drafts are worth verifying: one account of cost and success for all proposers.

A draft of k tokens adds k rows to the step and, if each is accepted with rate a, a + a² + … + aᵏ
tokens to its result. What rows cost is measured (`engine.step_cost`), and so is what a draft model
takes to make them. Drafts are as long as makes tokens a second most, which may be not at all; then
the rate is tried again now and then, more and more rarely while that fails.
"""

from collections.abc import Callable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

from engine.plan import ScheduledSequence
from engine.prompt_lookup import PromptLookup
from engine.sequence import Sequence
from engine.step_cost import StepCost

FIRST_PROBE, LAST_PROBE = 8, 256
"""Chances let pass before a draft that does not seem to pay is tried all the same."""

_MEMORY = 0.9
"""Weight of what was known before, with every draft verified: the last ten or so count."""

_PRIOR_TRIALS = 2.0
_PRIOR_RATE = 0.7
_LEAST_PRIOR_RATE = 0.3

Wishes = SequenceOf[tuple[Sequence, int]]


class Drafter(Protocol):
    """A proposer that takes time (`engine.draft_model`)."""

    @property
    def num_bytes(self) -> int:
        """Memory of its keys and values."""

    def propose(self, wishes: Wishes) -> dict[Sequence, list[int]]:
        """Up to so many drafts for each sequence."""

    def estimate_s(self, num_sequences: int) -> float:
        """Seconds for one more draft token of so many sequences."""

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""


@dataclass
class Worth:
    """How often drafts were right: of one proposer, for one sequence or for all."""

    num_tried: float = 0.0
    num_accepted: float = 0.0
    num_passed: int = 0
    """Chances let pass since the last draft."""
    next_probe: int = FIRST_PROBE

    def learn(self, num_drafts: int, num_accepted: int) -> None:
        """Drafts behind the first wrong one were not tried."""
        self.num_tried = _MEMORY * self.num_tried + min(num_accepted + 1, num_drafts)
        self.num_accepted = _MEMORY * self.num_accepted + num_accepted

    def rate(self, prior: float) -> float:
        """Probability that the next draft token is accepted."""
        trials = self.num_tried + _PRIOR_TRIALS
        return (self.num_accepted + _PRIOR_TRIALS * prior) / trials

    def is_probe_due(self) -> bool:
        """Count a chance that seems not worth it; whether it is taken all the same."""
        self.num_passed += 1
        if self.num_passed < self.next_probe:
            return False
        self.num_passed = 0
        self.next_probe = min(2 * self.next_probe, LAST_PROBE)
        return True


@dataclass
class _Account:
    """One sequence's drafts. Proposers by name: "lookup" and "draft"."""

    worths: dict[str, Worth] = field(default_factory=lambda: {"lookup": Worth(), "draft": Worth()})
    proposer: str = ""
    """Who made the drafts under way."""


class Speculation:
    """Proposes drafts: copied where the text repeats itself, else by the draft model, if any."""

    def __init__(self, drafter: Drafter | None = None) -> None:
        self.step_cost = StepCost()
        self._lookup = PromptLookup()
        self._drafter = drafter
        self._accounts: WeakKeyDictionary[Sequence, _Account] = WeakKeyDictionary()
        self._overall = {"lookup": Worth(), "draft": Worth()}

    def propose(self, wishes: Wishes, max_rows: int) -> Mapping[Sequence, SequenceOf[int]]:
        """Drafts for those of `wishes`, (sequence, at most so many), for whom they pay."""
        step = _Step(self.step_cost, len(wishes), max_rows)
        drafts: dict[Sequence, list[int]] = {}
        others: list[tuple[Sequence, int]] = []
        for sequence, limit in wishes:
            found = self._lookup.propose(sequence, min(limit, step.num_free_rows))
            length = self._length(sequence, "lookup", len(found), step, lambda _k: 0.0)
            if length:
                drafts[sequence] = found[:length]
            else:
                others.append((sequence, limit))
        if self._drafter is not None and others:
            drafts |= self._ask_drafter(self._drafter, others, step)
        return drafts

    def learn(self, item: ScheduledSequence, num_accepted: int) -> None:
        """So many of a step's drafts were right."""
        num_drafts = len(item.draft_token_ids)
        if not num_drafts:
            return
        account = self._accounts[item.sequence]
        worth = account.worths[account.proposer]
        worth.learn(num_drafts, num_accepted)
        self._overall[account.proposer].learn(num_drafts, num_accepted)
        if num_accepted:
            worth.num_passed, worth.next_probe = 0, FIRST_PROBE

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        if self._drafter is not None:
            self._drafter.forget(sequence)

    def _ask_drafter(
        self, drafter: Drafter, wishes: Wishes, step: "_Step"
    ) -> dict[Sequence, list[int]]:
        token_s = drafter.estimate_s(len(wishes)) / len(wishes)
        wanted = []
        for sequence, limit in wishes:
            limit = min(limit, step.num_free_rows)
            length = self._length(sequence, "draft", limit, step, lambda k: k * token_s)
            if length:
                wanted.append((sequence, length))
        return drafter.propose(wanted) if wanted else {}

    def _length(
        self,
        sequence: Sequence,
        proposer: str,
        limit: int,
        step: "_Step",
        making_s: Callable[[int], float],
    ) -> int:
        """How many tokens to draft for the sequence; the step counts them in."""
        account = self._accounts.setdefault(sequence, _Account())
        worth = account.worths[proposer]
        prior = max(self._overall[proposer].rate(_PRIOR_RATE), _LEAST_PRIOR_RATE)
        rate = worth.rate(prior)
        length = step.best_length(rate, limit, making_s)
        if not length and limit and worth.is_probe_due():
            length = 1
        if length:
            account.proposer = proposer
            step.add(rate, length, making_s)
        return length


class _Step:
    """Rows and expected tokens of a step as it fills with drafts."""

    def __init__(self, cost: StepCost, num_sequences: int, max_rows: int) -> None:
        self._cost = cost
        self._num_rows = num_sequences
        self._num_tokens = float(num_sequences)
        self._making_s = 0.0
        self.num_free_rows = max_rows

    def best_length(self, rate: float, limit: int, making_s: Callable[[int], float]) -> int:
        """The draft length, up to `limit`, that makes the step's tokens a second most."""
        best, best_speed = 0, self._speed(0, 0.0, 0.0)
        gain = 0.0
        for length in range(1, min(limit, self._cost.max_rows - self._num_rows) + 1):
            gain += rate**length
            speed = self._speed(length, gain, making_s(length))
            if speed > best_speed:
                best, best_speed = length, speed
        return best

    def add(self, rate: float, length: int, making_s: Callable[[int], float]) -> None:
        """Count a draft in."""
        self._num_rows += length
        self._num_tokens += sum(rate**k for k in range(1, length + 1))
        self._making_s += making_s(length)
        self.num_free_rows -= length

    def _speed(self, num_rows: int, num_tokens: float, making_s: float) -> float:
        seconds = self._cost.estimate_s(self._num_rows + num_rows) + self._making_s + making_s
        return (self._num_tokens + num_tokens) / max(seconds, 1e-9)

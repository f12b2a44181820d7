"""Networks with other state than keys and values: mlx-lm's own caches, one set for each sequence.

Sequences run one after another within a step, so a batch computes what each would alone. Their
state cannot be cut back or shared, so there are no drafts and no prefix cache.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast
from weakref import WeakKeyDictionary

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.network.sampled_rows import wanted_rows
from engine.plan import ScheduledSequence, SchedulerOutput
from engine.sampler import Logits
from engine.sequence import Sequence, Status

States = list[Any]
"""One cache object of mlx-lm for each layer that has one."""

_PROBE_TOKENS = 256
"""mlx-lm's caches grow by so many."""


class StateRunner:
    """Stands where `ModelRunner` stands for networks whose layers are not all paged."""

    is_paged = False

    def __init__(self, network: nn.Module, make_states: Callable[[], States]) -> None:
        self._network = network
        self._make_states = make_states
        self._states: WeakKeyDictionary[Sequence, States] = WeakKeyDictionary()

    @property
    def num_cache_bytes(self) -> int:
        """What the sequences keep now."""
        return sum(num_state_bytes(states) for states in self._states.values())

    def read_block(self, block_id: int) -> bytes:
        """Nothing is in blocks here, so nobody asks."""
        raise AssertionError(f"block {block_id} of a network without pages")

    def begin(self, output: SchedulerOutput) -> mx.array:
        """Start to compute the logits [R, V] of the rows that are sampled, in the plan's order."""
        assert not output.copies
        assert not output.restores
        for sequence in [s for s in self._states if s.status is not Status.RUNNING]:
            del self._states[sequence]
        rows = [self._run(item) for item in output.scheduled]
        logits = mx.concatenate(rows) if len(rows) > 1 else rows[0]
        mx.async_eval(logits, self._arrays())
        return logits

    def finish(self, logits: mx.array) -> Logits:
        """Wait for the logits of a step and its states; they are host memory then."""
        mx.eval(logits, self._arrays())
        return cast(Logits, np.array(logits, copy=False))

    def _run(self, item: ScheduledSequence) -> mx.array:
        assert not item.draft_token_ids
        if item.start == 0:
            self._states[item.sequence] = self._make_states()
        states = self._states[item.sequence]
        with wanted_rows(self._network, item.num_logit_rows):
            logits = self._network(mx.array([item.token_ids], mx.int32), cache=states)
        first = logits.shape[1] - item.num_logit_rows
        result: mx.array = logits[0, first:].astype(mx.float32)
        return result

    def _arrays(self) -> list[mx.array]:
        return [array for states in self._states.values() for array in state_arrays(states)]


def state_arrays(states: States) -> list[mx.array]:
    """Every array that the caches hold."""
    return [array for cache in states for array in _arrays_in(cache)]


def _arrays_in(kept: Any) -> Iterator[mx.array]:
    """The arrays of a cache's attributes, those of caches in it included."""
    if isinstance(kept, mx.array):
        yield kept
    elif isinstance(kept, dict | list | tuple):
        for part in kept.values() if isinstance(kept, dict) else kept:
            yield from _arrays_in(part)
    elif hasattr(kept, "__dict__"):
        yield from _arrays_in(vars(kept))


def num_state_bytes(states: States) -> int:
    """Bytes of one sequence's state."""
    return sum(array.nbytes for array in state_arrays(states))


def measure_token_bytes(network: nn.Module, make_states: Callable[[], States]) -> int:
    """Bytes that a token adds to a sequence's state, a fixed part shared among many included.

    From one lazy pass that is never evaluated.
    """
    states = make_states()
    network(mx.zeros((1, _PROBE_TOKENS), mx.int32), cache=states)
    return max(1, num_state_bytes(states) // _PROBE_TOKENS)

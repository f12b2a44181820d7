"""A network of a few lines for engine tests: it really reads the cache through the block tables.

Its memory holds token ids. The next token's logits follow from a hash of the whole context as read
back from there, so a wrong slot, a stale block or a lost copy changes the text.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from engine.batch import slot_mapping
from engine.plan import SchedulerOutput


class FakeRunner:
    def __init__(
        self, num_blocks: int, block_size: int, vocab_size: int = 7, *, error: float = 0.0
    ) -> None:
        """`error` 0 to 1: how far from the others' logits this network's are."""
        self.is_paged, self.num_cache_bytes = True, 0
        self.num_rows_run: list[int] = []
        self._block_size = block_size
        self._vocab_size = vocab_size
        self._error = error
        self._memory = np.full(num_blocks * block_size, -1)

    def begin(self, output: SchedulerOutput) -> NDArray[np.float32]:
        size = self._block_size
        for source, target in output.copies:
            self._memory[target * size :][:size] = self._memory[source * size :][:size]
        rows = []
        for item in output.scheduled:
            table = item.sequence.block_table
            token_ids = item.token_ids + item.draft_token_ids
            end = item.start + len(token_ids)
            self._memory[slot_mapping(table, item.start, end, size)] = token_ids
            for stop in range(end - item.num_logit_rows + 1, end + 1):
                rows.append(self._logits(self._memory[slot_mapping(table, 0, stop, size)]))
        self.num_rows_run.append(sum(i.num_scheduled_tokens for i in output.scheduled))
        return np.array(rows, np.float32).reshape(-1, self._vocab_size)

    def finish(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        return logits

    def _logits(self, context: NDArray[np.int64]) -> NDArray[np.float32]:
        assert (context >= 0).all(), "read a slot that nobody wrote"
        seen = context[-40:].tobytes() + bytes([len(context) % 5])
        exact = _hash_bytes(seen)[: self._vocab_size]
        wrong = _hash_bytes(b"wrong" + seen)[: self._vocab_size]
        return (exact * (1 - self._error) + wrong * self._error) / 40


def _hash_bytes(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(hashlib.sha256(data).digest(), np.uint8).astype(np.float32)

"""Who owns which cache block: ids and reference counts only, the memory itself is elsewhere."""

from collections import deque
from collections.abc import Callable


class BlockPool:
    """`num_blocks` blocks of `block_size` tokens, each free, referenced or cached.

    A referenced block belongs to one sequence, or to several that share it (then it is read-only).
    A cached block belongs to no sequence, but its keys and values may be wanted again: it is given
    away only when no free one is left. Which one goes is the prefix cache's choice.

    **Invariant:** free + cached + referenced = `num_blocks`; see `check_integrity`.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.on_cached: Callable[[int], None] = lambda _: None
        """Called with the id of a block that became cached."""
        self.choose_victim: Callable[[], int] = lambda: next(iter(self._cached))
        """Gives a cached block's id, which is forgotten with that."""
        self._free = deque(range(num_blocks))
        self._cached: set[int] = set()
        self._ref_counts = [0] * num_blocks
        self._worth_caching: set[int] = set()

    @property
    def num_available(self) -> int:
        """Blocks that `acquire` can still give."""
        return len(self._free) + len(self._cached)

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing."""
        return len(self._free)

    @property
    def num_cached(self) -> int:
        """Blocks that hold reusable keys and values and belong to no sequence."""
        return len(self._cached)

    def is_cached(self, block_id: int) -> bool:
        """Whether the block may be given away although it holds something."""
        return block_id in self._cached

    def ref_count(self, block_id: int) -> int:
        """How many sequences hold the block."""
        return self._ref_counts[block_id]

    def acquire(self) -> int:
        """A block for one sequence alone, its contents undefined."""
        assert self.num_available, "ask num_available before acquiring"
        if self._free:
            block_id = self._free.popleft()
        else:
            block_id = self.choose_victim()
            self._cached.remove(block_id)
            self._worth_caching.discard(block_id)
        assert self._ref_counts[block_id] == 0
        self._ref_counts[block_id] = 1
        return block_id

    def retain(self, block_id: int) -> None:
        """One more sequence shares the block."""
        if self._ref_counts[block_id] == 0:
            self._cached.remove(block_id)
        self._ref_counts[block_id] += 1

    def release(self, block_id: int) -> None:
        """One sequence less; the last one leaves the block cached or free."""
        assert self._ref_counts[block_id] > 0, f"block {block_id} released twice"
        self._ref_counts[block_id] -= 1
        if self._ref_counts[block_id]:
            return
        if block_id in self._worth_caching:
            self._cached.add(block_id)
            self.on_cached(block_id)
        else:
            self._free.append(block_id)

    def keep_when_released(self, block_id: int) -> None:
        """Mark a referenced block as worth caching."""
        assert self._ref_counts[block_id] > 0
        self._worth_caching.add(block_id)

    def check_integrity(self) -> None:
        """Assert that every block is in exactly one state."""
        free, cached = set(self._free), self._cached
        referenced = {i for i, count in enumerate(self._ref_counts) if count}
        assert len(free) == len(self._free)
        assert not free & cached
        assert not free & referenced
        assert not cached & referenced
        assert len(free) + len(cached) + len(referenced) == self.num_blocks
        assert self._worth_caching <= cached | referenced
        assert cached <= self._worth_caching

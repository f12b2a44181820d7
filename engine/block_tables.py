"""Gives sequences their cache blocks and takes them back: what is shared, copied or restored."""

from collections.abc import Callable

from engine.block_pool import BlockPool
from engine.disk_cache import chain_key
from engine.prefix_cache import PrefixCache, PrefixMatch
from engine.sequence import Sequence


class BlockTables:
    """Keeps every sequence's `block_table` in step with `BlockPool` and `PrefixCache`.

    `copies` and `restores` gather what must happen to the memory before the next step: first the
    blocks read from disk, then (from, to) copies, in order.
    """

    def __init__(
        self,
        pool: BlockPool,
        cache: PrefixCache,
        read_saved: Callable[[str], bytes | None],
    ) -> None:
        self.copies: list[tuple[int, int]] = []
        self.restores: list[tuple[int, bytes]] = []
        self._pool = pool
        self._cache = cache
        self._read_saved = read_saved

    def has_room(self, sequence: Sequence, num_tokens: int) -> bool:
        """Whether `extend` by so many tokens would find its blocks."""
        return self._num_missing(sequence, num_tokens) <= self._pool.num_available

    def extend(self, sequence: Sequence, num_tokens: int) -> None:
        """Blocks for `num_tokens` beyond the computed ones."""
        for _ in range(self._num_missing(sequence, num_tokens)):
            sequence.block_table.append(self._pool.acquire())

    def start(self, sequence: Sequence) -> bool:
        """Put a sequence on its cached prefix; False when the rest of it has no room.

        The last token is never taken from the cache: its logits are wanted. A prompt that is scored
        wants all of its logits, so nothing of it is.
        """
        match = self._cache.match(() if sequence.is_scoring else sequence.token_ids[:-1])
        shared = match.block_ids
        num_needed = self._num_blocks(len(sequence)) - len(shared)
        num_revived = sum(self._pool.ref_count(block_id) == 0 for block_id in shared)
        if num_needed > self._pool.num_available - num_revived:
            return False
        for block_id in shared:
            self._pool.retain(block_id)
        sequence.block_table = list(shared)
        sequence.cache_node, sequence.num_cache_nodes = match.node, len(shared)
        sequence.num_computed_tokens = len(shared) * self._pool.block_size
        if not sequence.is_scoring and not self._restore(sequence):
            self._copy_partial(sequence, match)
        return True

    def share_full_blocks(self, sequence: Sequence) -> None:
        """Make newly filled blocks known; where another sequence was first, use its block."""
        size = self._pool.block_size
        for i in range(sequence.num_cache_nodes, sequence.num_computed_tokens // size):
            own = sequence.block_table[i]
            parent = sequence.cache_node or self._cache.root
            token_ids = tuple(sequence.token_ids[i * size : (i + 1) * size])
            node = self._cache.insert(parent, token_ids, own)
            if node.block_id != own:
                self._pool.retain(node.block_id)
                self._pool.release(own)
                sequence.block_table[i] = node.block_id
            sequence.cache_node, sequence.num_cache_nodes = node, i + 1

    def release(self, sequence: Sequence) -> None:
        """Give the blocks back, last one first: a cached parent outlives its children.

        What a conversation's next turn will begin with stays known to the last token.
        """
        self.share_full_blocks(sequence)
        self._keep_end(sequence)
        for block_id in reversed(sequence.block_table):
            self._pool.release(block_id)
        sequence.block_table = []
        sequence.cache_node, sequence.num_cache_nodes = None, 0

    def _keep_end(self, sequence: Sequence) -> None:
        """Make the last block known although it is not full, unless a known one begins so."""
        first = sequence.num_cache_nodes * self._pool.block_size
        token_ids = tuple(sequence.token_ids[first : sequence.num_computed_tokens])
        parent = sequence.cache_node or self._cache.root
        if token_ids and not any(known[: len(token_ids)] == token_ids for known in parent.children):
            block_id = sequence.block_table[sequence.num_cache_nodes]
            self._cache.insert(parent, token_ids, block_id)

    def _restore(self, sequence: Sequence) -> bool:
        """Go on with blocks saved on disk; False when there are none."""
        size, first = self._pool.block_size, len(sequence.block_table)
        for i in range(first, (len(sequence) - 1) // size):
            token_ids = tuple(sequence.token_ids[i * size : (i + 1) * size])
            parent = sequence.cache_node or self._cache.root
            contents = self._read_saved(chain_key(parent.key, token_ids))
            if contents is None:
                break
            block_id = self._pool.acquire()
            self.restores.append((block_id, contents))
            sequence.block_table.append(block_id)
            sequence.cache_node = self._cache.insert(parent, token_ids, block_id)
            sequence.num_cache_nodes = i + 1
            sequence.num_computed_tokens += size
        return len(sequence.block_table) > first

    def _copy_partial(self, sequence: Sequence, match: PrefixMatch) -> None:
        """Start the next block as a copy of one whose beginning is the same."""
        if match.partial_block_id is None or self._pool.num_available < 2:
            return
        self._pool.retain(match.partial_block_id)
        sequence.block_table.append(self._pool.acquire())
        self._pool.release(match.partial_block_id)
        self.copies.append((match.partial_block_id, sequence.block_table[-1]))
        sequence.num_computed_tokens += match.num_partial_tokens

    def _num_blocks(self, num_tokens: int) -> int:
        return -(-num_tokens // self._pool.block_size)

    def _num_missing(self, sequence: Sequence, num_tokens: int) -> int:
        needed = self._num_blocks(sequence.num_computed_tokens + num_tokens)
        return needed - len(sequence.block_table)

"""Gives sequences their cache blocks and takes them back: what is shared, copied or restored."""

from collections.abc import Callable, Iterable

from engine.block_pool import BlockPool
from engine.disk_cache import chain_key
from engine.prefix_cache import PrefixCache, PrefixMatch, num_common
from engine.sequence import Sequence


class BlockTables:
    """Keeps every sequence's `block_table` in step with `BlockPool` and `PrefixCache`.

    What must happen to the memory before the next step is gathered until `take_transfers`. Where
    sequences keep state that cannot be shared (`is_sharing`), blocks only count what is used.
    """

    def __init__(
        self,
        pool: BlockPool,
        cache: PrefixCache,
        read_saved: Callable[[str], bytes | None],
        *,
        is_sharing: bool = True,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._read_saved = read_saved
        self._is_sharing = is_sharing
        self._copies: list[tuple[int, int]] = []
        self._restores: list[tuple[int, bytes]] = []

    def take_transfers(self) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, bytes], ...]]:
        """(from, to) copies in order, and before them blocks read from disk.

        Until here what is copied from was held, so that nobody else could be given it.
        """
        copies, restores = tuple(self._copies), tuple(self._restores)
        for source, _ in copies:
            self._pool.release(source)
        self._copies, self._restores = [], []
        return copies, restores

    def has_room(self, sequence: Sequence, num_tokens: int) -> bool:
        """Whether `extend` by so many tokens would find its blocks."""
        return self._num_missing(sequence, num_tokens) <= self._pool.num_available

    def extend(self, sequence: Sequence, num_tokens: int) -> None:
        """Blocks for `num_tokens` beyond the computed ones."""
        for _ in range(self._num_missing(sequence, num_tokens)):
            sequence.block_table.append(self._pool.acquire())

    def start(self, sequence: Sequence, others: Iterable[Sequence] = ()) -> bool:
        """Put a sequence on its known prefix; False when the rest of it has no room.

        Whole blocks are shared. Of the block after them, one that begins alike is copied, be it
        known to the cache or still being written by one of `others`: writing goes to the copy.
        The last token is never taken from the cache: its logits are wanted. A prompt that is
        scored wants all of its logits, so nothing of it is.
        """
        match = self._match(sequence)
        shared = match.block_ids
        num_needed = self._num_blocks(len(sequence)) - len(shared)
        num_revived = sum(self._pool.ref_count(block_id) == 0 for block_id in shared)
        if num_needed > self._pool.num_available - num_revived:
            return False
        self._cache.count_use(match)
        for block_id in shared:
            self._pool.retain(block_id)
        sequence.block_table = list(shared)
        sequence.cache_node, sequence.num_cache_nodes = match.node, len(shared)
        sequence.num_computed_tokens = len(shared) * self._pool.block_size
        if not self._is_computed_whole(sequence) and not self._restore(sequence):
            self._copy_partial(sequence, self._longest_partial(sequence, match, others))
        return True

    def is_being_computed(self, sequence: Sequence, others: Iterable[Sequence]) -> bool:
        """Whether one of `others` in prefill is about to make more of the prefix known."""
        others = [other for other in others if other.num_uncomputed_tokens > 1]
        if not others or self._is_computed_whole(sequence):
            return False
        match, size = self._match(sequence), self._pool.block_size
        first = len(match.block_ids) * size
        rest = sequence.token_ids[first : min(first + size, len(sequence) - 1)]
        worthwhile = match.num_partial_tokens + size // 4
        return any(
            (other.cache_node or self._cache.root) is match.node
            and num_common(other.token_ids[first : first + size], rest) > worthwhile
            for other in others
        )

    def _match(self, sequence: Sequence) -> PrefixMatch:
        whole = self._is_computed_whole(sequence)
        return self._cache.match(() if whole else sequence.token_ids[:-1])

    def _is_computed_whole(self, sequence: Sequence) -> bool:
        """Whether nothing of it may come from the cache."""
        return sequence.is_scoring or not self._is_sharing

    def _longest_partial(
        self, sequence: Sequence, match: PrefixMatch, others: Iterable[Sequence]
    ) -> tuple[int | None, int]:
        """The block that begins like the sequence's next one, and how many of its tokens do."""
        best, most = match.partial_block_id, match.num_partial_tokens
        size, first = self._pool.block_size, sequence.num_computed_tokens
        rest = sequence.token_ids[first : min(first + size, len(sequence) - 1)]
        for other in others:
            if (other.cache_node or self._cache.root) is match.node:
                written = other.token_ids[first : min(other.num_computed_tokens, first + size)]
                if (common := num_common(written, rest)) > most:
                    best, most = other.block_table[other.num_cache_nodes], common
        return best, most

    def share_full_blocks(self, sequence: Sequence) -> None:
        """Make newly filled blocks known; where another sequence was first, use its block."""
        if not self._is_sharing:
            return
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
        if self._is_sharing:
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
            self._restores.append((block_id, contents))
            sequence.block_table.append(block_id)
            sequence.cache_node = self._cache.insert(parent, token_ids, block_id)
            sequence.num_cache_nodes = i + 1
            sequence.num_computed_tokens += size
        return len(sequence.block_table) > first

    def _copy_partial(self, sequence: Sequence, partial: tuple[int | None, int]) -> None:
        """Start the next block as a copy of one whose beginning is the same."""
        source, num_tokens = partial
        num_missing = self._num_blocks(len(sequence)) - len(sequence.block_table)
        if source is None or self._pool.num_available <= num_missing:
            return
        self._pool.retain(source)
        sequence.block_table.append(self._pool.acquire())
        self._copies.append((source, sequence.block_table[-1]))
        sequence.num_computed_tokens += num_tokens

    def _num_blocks(self, num_tokens: int) -> int:
        return -(-num_tokens // self._pool.block_size)

    def _num_missing(self, sequence: Sequence, num_tokens: int) -> int:
        needed = self._num_blocks(sequence.num_computed_tokens + num_tokens)
        return needed - len(sequence.block_table)

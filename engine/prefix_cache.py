"""Reuse of computed keys and values between requests that begin alike.

The cache is a tree: an edge is the tokens of one block, a path from the root is a prefix. Tokens
are compared, not hashes, so a hit is never a collision. It serves one set of weights: a model with
another adapter has another engine, because its keys and values differ.
"""

import heapq
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from engine.block_pool import BlockPool
from engine.disk_cache import chain_key

ATTENTION_TOKENS = 8192
"""Prefix length at which a token costs about twice what it costs at the start."""


@dataclass(eq=False)
class CachedBlock:
    """A node of the tree: one block and what may follow it; a block that is not full is an end."""

    parent: "CachedBlock | None"
    token_ids: tuple[int, ...]
    block_id: int
    key: str
    """Name of the block on disk; "" for the root."""
    start: int = 0
    """Tokens before it."""
    num_uses: int = 1
    """Sequences that computed or shared it."""
    worth: float = 0.0
    """See `PrefixCache`."""
    children: dict[tuple[int, ...], "CachedBlock"] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Tokens before it and in it."""
        return self.start + len(self.token_ids)

    @property
    def cost(self) -> float:
        """To compute it again, in first tokens."""
        return len(self.token_ids) * (1 + self.start / ATTENTION_TOKENS)

    def path(self) -> "list[CachedBlock]":
        """The blocks from the first one to this."""
        found: list[CachedBlock] = []
        node = self
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]


@dataclass(frozen=True)
class PrefixMatch:
    """The longest known prefix: whole blocks to share, then part of one to copy."""

    node: CachedBlock
    """The last whole block matched, or the root."""
    block_ids: tuple[int, ...]
    partial_block_id: int | None
    """A block whose first `num_partial_tokens` tokens match too."""
    num_partial_tokens: int


class PrefixCache:
    """Blocks of `pool` by the tokens that led to them.

    The leaf of least worth goes first. Worth is what computing the block again would cost, times
    the number of its uses, on top of the worth of what was last given away; so a much used prefix
    survives a flood of prompts that come once, and yet grows old (GreedyDual-Size with frequency,
    Cherkasova 1998).

    **Invariant:** whoever holds a node's block holds its ancestors' blocks too, so among cached
    blocks there is always a leaf.
    """

    def __init__(self, pool: BlockPool) -> None:
        self.num_evictions = 0
        self.num_known_tokens = 0
        """In blocks of the tree."""
        self._pool = pool
        self._block_size = pool.block_size
        self._nodes: dict[int, CachedBlock] = {}
        self._root = CachedBlock(parent=None, token_ids=(), block_id=-1, key="")
        self._leaves: list[tuple[float, int, int]] = []
        """Heap of (worth, age, block id); an entry counts while it is that of its node."""
        self._age = 0
        self._floor = 0.0
        pool.on_cached = self._note_cached
        pool.choose_victim = self._forget_least

    @property
    def root(self) -> CachedBlock:
        """Where every sequence starts."""
        return self._root

    def __len__(self) -> int:
        return len(self._nodes)

    def match(self, token_ids: Tokens[int]) -> PrefixMatch:
        """The longest cached prefix of `token_ids`; nothing is retained yet."""
        node, block_ids, done = self._root, [], 0
        while len(token_ids) - done >= self._block_size:
            child = node.children.get(tuple(token_ids[done : done + self._block_size]))
            if child is None:
                break
            node = child
            block_ids.append(child.block_id)
            done += self._block_size
        rest = token_ids[done : done + self._block_size]
        partial_block_id, num_partial_tokens = None, 0
        for child in node.children.values():
            common = num_common(child.token_ids, rest)
            if common > num_partial_tokens:
                partial_block_id, num_partial_tokens = child.block_id, common
        return PrefixMatch(node, tuple(block_ids), partial_block_id, num_partial_tokens)

    def count_use(self, match: PrefixMatch) -> None:
        """A sequence shares what was matched."""
        for block_id in match.block_ids:
            self._nodes[block_id].num_uses += 1

    def insert(self, parent: CachedBlock, token_ids: tuple[int, ...], block_id: int) -> CachedBlock:
        """Make a block known; if its tokens are known already, the node that has them.

        The caller then uses that node's block in place of its own, after retaining it. A block
        that is not full may be known as the end of a prefix, to be copied from.
        """
        assert 0 < len(token_ids) <= self._block_size
        assert parent is self._root or len(parent.token_ids) == self._block_size
        known = parent.children.get(token_ids)
        if known is not None:
            return known
        key = chain_key(parent.key, token_ids)
        node = CachedBlock(parent, token_ids, block_id, key, parent.end)
        parent.children[token_ids] = node
        self._nodes[block_id] = node
        self.num_known_tokens += len(token_ids)
        self._pool.keep_when_released(block_id)
        return node

    def full_leaves(self) -> list[CachedBlock]:
        """The last full block of every known prefix."""
        full = [node for node in self._nodes.values() if len(node.token_ids) == self._block_size]
        return [
            node
            for node in full
            if not any(len(tokens) == self._block_size for tokens in node.children)
        ]

    def _note_cached(self, block_id: int) -> None:
        node = self._nodes[block_id]
        node.worth = self._floor + node.cost * node.num_uses
        if not node.children:
            self._offer(node)

    def _offer(self, node: CachedBlock) -> None:
        self._age += 1
        heapq.heappush(self._leaves, (node.worth, self._age, node.block_id))
        if len(self._leaves) > 4 * len(self._nodes) + 64:
            self._leaves = [entry for entry in set(self._leaves) if self._is_victim(entry)]
            heapq.heapify(self._leaves)

    def _is_victim(self, entry: tuple[float, int, int]) -> bool:
        worth, _, block_id = entry
        node = self._nodes.get(block_id)
        return (
            node is not None
            and node.worth == worth
            and not node.children
            and self._pool.is_cached(block_id)
        )

    def _forget_least(self) -> int:
        """Drop the leaf of least worth from the tree; its block's id."""
        while True:
            entry = heapq.heappop(self._leaves)
            if self._is_victim(entry):
                break
        node = self._nodes.pop(entry[2])
        parent = node.parent
        assert parent is not None
        del parent.children[node.token_ids]
        self._floor = max(self._floor, node.worth)
        self.num_evictions += 1
        self.num_known_tokens -= len(node.token_ids)
        if not parent.children and self._pool.is_cached(parent.block_id):
            self._offer(parent)
        return node.block_id

    def check_integrity(self) -> None:
        """Assert that tree and pool agree, and that no referenced block has a lost ancestor."""
        leaves = {entry[2] for entry in self._leaves if self._is_victim(entry)}
        for block_id, node in self._nodes.items():
            assert node.block_id == block_id
            assert node.parent is not None
            assert node.parent.children[node.token_ids] is node
            if node.parent is not self._root:
                assert self._pool.ref_count(node.parent.block_id) >= bool(
                    self._pool.ref_count(block_id)
                )
            if self._pool.is_cached(block_id) and not node.children:
                assert block_id in leaves, "every cached leaf can be given away"
        known = sum(len(node.token_ids) for node in self._nodes.values())
        assert known == self.num_known_tokens


def num_common(a: Tokens[int], b: Tokens[int]) -> int:
    """Length of the common beginning.

    >>> num_common((1, 2, 3), (1, 2, 4, 5))
    2
    """
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))

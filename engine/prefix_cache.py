"""Reuse of computed keys and values between requests that begin alike.

The cache is a tree: an edge is the tokens of one block, a path from the root is a prefix. Tokens
are compared, not hashes, so a hit is never a collision. It serves one set of weights: a model with
another adapter has another engine, because its keys and values differ.
"""

from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from engine.block_pool import BlockPool
from engine.disk_cache import chain_key


@dataclass(eq=False)
class CachedBlock:
    """A node of the tree: one block and what may follow it; a block that is not full is an end."""

    parent: "CachedBlock | None"
    token_ids: tuple[int, ...]
    block_id: int
    key: str
    """Name of the block on disk; "" for the root."""
    children: dict[tuple[int, ...], "CachedBlock"] = field(default_factory=dict)

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

    **Invariant:** whoever holds a node's block holds its ancestors' blocks too, so the pool's
    least recently released block is always a leaf.
    """

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self._block_size = pool.block_size
        self._nodes: dict[int, CachedBlock] = {}
        self._root = CachedBlock(parent=None, token_ids=(), block_id=-1, key="")
        pool.on_evict = self._forget

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
        node = CachedBlock(parent, token_ids, block_id, chain_key(parent.key, token_ids))
        parent.children[token_ids] = node
        self._nodes[block_id] = node
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

    def _forget(self, block_id: int) -> None:
        node = self._nodes.pop(block_id)
        assert not node.children, "a parent is never evicted before its children"
        assert node.parent is not None
        del node.parent.children[node.token_ids]

    def check_integrity(self) -> None:
        """Assert that tree and pool agree, and that no referenced block has a lost ancestor."""
        for block_id, node in self._nodes.items():
            assert node.block_id == block_id
            assert node.parent is not None
            assert node.parent.children[node.token_ids] is node
            if node.parent is not self._root:
                assert self._pool.ref_count(node.parent.block_id) >= bool(
                    self._pool.ref_count(block_id)
                )


def num_common(a: Tokens[int], b: Tokens[int]) -> int:
    """Length of the common beginning.

    >>> num_common((1, 2, 3), (1, 2, 4, 5))
    2
    """
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))

"""How much memory a model may take: measured sizes in, a number of cache blocks out."""

from models.fit import total_memory_bytes

BLOCK_SIZE = 32
"""Tokens a block: a longer one wastes more at each sequence's end, a shorter one reads slower."""

MAX_MEMORY_SHARE = 0.6
"""Of the machine's memory, for weights and cache; wiring more has taken whole Macs down."""

MAX_POOL_CONTEXTS = 4
"""The pool holds at most so many full contexts: more would never be touched."""

STEP_RESERVE_BYTES = 256 * 2**20
"""For a step's activations and the process itself."""


def num_pool_blocks(
    *,
    weight_bytes: int,
    token_bytes: int,
    context_tokens: int,
    kv_cache_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> int:
    """Blocks for the cache of a model whose weights are in memory already.

    >>> num_pool_blocks(weight_bytes=0, token_bytes=1024, context_tokens=64)
    8
    >>> num_pool_blocks(
    ...     weight_bytes=0, token_bytes=1024, context_tokens=64, kv_cache_bytes=2**16
    ... )
    2
    """
    if kv_cache_bytes is None:
        memory_bytes = memory_bytes or total_memory_bytes()
        kv_cache_bytes = int(memory_bytes * MAX_MEMORY_SHARE) - weight_bytes - STEP_RESERVE_BYTES
    wanted = MAX_POOL_CONTEXTS * -(-context_tokens // BLOCK_SIZE)
    return max(1, min(wanted, kv_cache_bytes // (token_bytes * BLOCK_SIZE)))

"""How much memory a model's cache and steps may take: measured sizes in, a plan out."""

from models.fit import total_memory_bytes
from models.memory_plan import MemoryNeeds, MemoryPlan, plan_memory

BLOCK_SIZE = 32
"""Tokens a block: a longer one wastes more at each sequence's end, a shorter one reads slower."""


def plan_model_memory(
    needs: MemoryNeeds, *, kv_cache_bytes: int | None = None, memory_bytes: int | None = None
) -> MemoryPlan:
    """The plan for a model whose weights are in memory already; with so much for its cache, if set.

    >>> needs = MemoryNeeds(weight_bytes=0, token_bytes=1024, context_tokens=64)
    >>> num_blocks(plan_model_memory(needs, memory_bytes=1 << 30))
    8
    >>> num_blocks(plan_model_memory(needs, kv_cache_bytes=1 << 16))
    2

    Raises:
        Busy: not even with less of everything does it fit.
    """
    plan = plan_memory(needs, memory_bytes or total_memory_bytes())
    if kv_cache_bytes is None:
        return plan
    return plan.with_cache(kv_cache_bytes, needs)


def num_blocks(plan: MemoryPlan) -> int:
    """Blocks of the plan's cache; at least one."""
    return max(plan.cache_tokens // BLOCK_SIZE, 1)

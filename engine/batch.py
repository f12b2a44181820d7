"""The bridge from a plan (ints) to a step (arrays): one flat list of tokens for all sequences."""

from dataclasses import dataclass

import mlx.core as mx

from engine.plan import SchedulerOutput


def slot_mapping(block_table: list[int], start: int, end: int, block_size: int) -> list[int]:
    """Cache slots of the positions `start:end` of one sequence.

    A slot is a row of the KV cache: `block_id * block_size + offset`, one token each.

    >>> slot_mapping([7, 2], start=3, end=6, block_size=4)
    [31, 8, 9]

    Raises:
        IndexError: no block covers position `end - 1`; allocate before calling.
    """
    return [block_table[p // block_size] * block_size + p % block_size for p in range(start, end)]


@dataclass(frozen=True)
class Batch:
    """One step's arrays; T tokens of S sequences, whose rows lie one after another.

    ids            [T]    int32
    positions      [T]    int32, place of each token in its sequence
    slots          [T]    int32, cache row each token's key and value go to
    block_tables   [S, M] int32, padded with 0
    query_starts   [S+1]  int32, sequence s has the rows `query_starts[s]:query_starts[s+1]`
    context_lens   [S]    int32, in tokens, this step's included
    sample_rows    [R]    int32, rows whose logits are wanted
    """

    ids: mx.array
    positions: mx.array
    slots: mx.array
    block_tables: mx.array
    query_starts: mx.array
    context_lens: mx.array
    sample_rows: mx.array


def make_batch(output: SchedulerOutput, block_size: int) -> Batch:
    """Lay a plan out as arrays; the sampled rows are in the plan's order."""
    ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    query_starts, context_lens = [0], list[int]()
    sample_rows: list[int] = []
    width = max(len(item.sequence.block_table) for item in output.scheduled)
    for item in output.scheduled:
        end = item.start + item.num_scheduled_tokens
        ids += item.token_ids + item.draft_token_ids
        positions += range(item.start, end)
        slots += slot_mapping(item.sequence.block_table, item.start, end, block_size)
        query_starts.append(len(ids))
        context_lens.append(end)
        sample_rows += range(len(ids) - item.num_logit_rows, len(ids))
    tables = [item.sequence.block_table for item in output.scheduled]
    return Batch(
        ids=mx.array(ids, mx.int32),
        positions=mx.array(positions, mx.int32),
        slots=mx.array(slots, mx.int32),
        block_tables=mx.array([t + [0] * (width - len(t)) for t in tables], mx.int32),
        query_starts=mx.array(query_starts, mx.int32),
        context_lens=mx.array(context_lens, mx.int32),
        sample_rows=mx.array(sample_rows, mx.int32),
    )

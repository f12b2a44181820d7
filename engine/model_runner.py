"""Arrays in, logits out: one step of the network over a flat batch."""

from typing import cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.batch import make_batch
from engine.kv_cache import KVCache
from engine.plan import SchedulerOutput
from engine.sampler import Logits


class ModelRunner:
    """Owns the network and its cache; knows sequences only as rows of a batch."""

    is_paged = True

    def __init__(self, network: nn.Module, kv_cache: KVCache) -> None:
        self.kv_cache = kv_cache
        self._network = network

    @property
    def num_cache_bytes(self) -> int:
        """The pools' memory."""
        return self.kv_cache.num_bytes

    def read_block(self, block_id: int) -> bytes:
        """A block of all layers, as the disk keeps it."""
        return self.kv_cache.read_block(block_id)

    def begin(self, output: SchedulerOutput) -> mx.array:
        """Start to compute the logits [R, V] of the rows that are sampled, in the plan's order."""
        self.kv_cache.write_blocks(output.restores)
        self.kv_cache.copy_blocks(output.copies)
        batch = make_batch(output, self.kv_cache.block_size)
        self.kv_cache.begin_step(batch)
        rows = self._network(batch.ids[:, None], cache=self.kv_cache.layers)
        if len(rows) != len(batch.sample_rows):
            rows = rows[batch.sample_rows]
        logits: mx.array = rows[:, 0].astype(mx.float32)
        mx.async_eval(logits, self.kv_cache.pools)
        return logits

    def finish(self, logits: mx.array) -> Logits:
        """Wait for the logits of a step and its writes; they are host memory then."""
        mx.eval(logits, self.kv_cache.pools)
        return cast(Logits, np.array(logits, copy=False))

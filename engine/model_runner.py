"""Arrays in, logits out: one step of the network over a flat batch."""

from typing import cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.batch import make_batch
from engine.kv_cache import KVCache
from engine.sampler import Logits
from engine.scheduler import SchedulerOutput


class ModelRunner:
    """Owns the network and its cache; knows sequences only as rows of a batch."""

    def __init__(self, network: nn.Module, kv_cache: KVCache) -> None:
        self.kv_cache = kv_cache
        self._network = network

    def run(self, output: SchedulerOutput) -> Logits:
        """Logits [R, V] of the rows that are sampled, in the plan's order, as host memory."""
        self.kv_cache.write_blocks(output.restores)
        self.kv_cache.copy_blocks(output.copies)
        batch = make_batch(output, self.kv_cache.block_size)
        self.kv_cache.begin_step(batch)
        logits = self._network(batch.ids[:, None], cache=self.kv_cache.layers)
        logits = logits[:, 0].astype(mx.float32)
        mx.eval(logits, self.kv_cache.pools)
        return cast(Logits, np.array(logits, copy=False))

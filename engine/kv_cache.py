"""The memory behind the blocks: one pool a layer, and the cache object each layer sees.

The networks are mlx-lm's, written for one cache a sequence. Here every token is a batch row of its
own, `ids [T, 1]`, so `offset` is one position a row, and the attention call finds the sequences
again through the step's batch.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from engine.batch import Batch
from engine.network.rotation import Turned, recall
from metal_kernels.int8_rows import pool_row_size, takes_int8
from metal_kernels.kv_cache import kv_write, make_pool, rope_kv_write, writes_with_rope
from metal_kernels.paged_attention import paged_attention
from models.errors import Unsupported


@dataclass(frozen=True)
class LayerShape:
    """What one attention layer keeps for a token."""

    num_kv_heads: int
    key_size: int
    value_size: int

    def token_bytes(self, dtype: mx.Dtype) -> int:
        """Bytes of one token's key and value in a pool of this type."""
        row_size = pool_row_size(self.key_size, self.value_size, dtype)
        return self.num_kv_heads * row_size * dtype.size

    @property
    def takes_int8(self) -> bool:
        """Whether the pool may be of scaled bytes."""
        return takes_int8(self.key_size, self.value_size)


class LayerCache:
    """One layer's keys and values of all sequences, in the shape mlx-lm's attention expects."""

    def __init__(self, pool: mx.array, window: int | None) -> None:
        self.pool = pool
        self.window = window
        self.batch: Batch | None = None
        self._unwritten: tuple[Turned, mx.array, mx.array] | None = None

    @property
    def offset(self) -> mx.array:
        """Rope position of each row, [T]."""
        assert self.batch is not None
        return self.batch.positions

    def make_mask(self, *_args: object, **_kwargs: object) -> None:
        """No mask: causality and window follow from positions inside the kernel."""

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write this step's keys and values [T, K, 1, D] to their slots, in place.

        Keys that were just turned wait for the queries, to be turned and written with them.
        """
        assert self.batch is not None
        turned = recall(keys) if writes_with_rope(self.pool) else None
        if turned is not None and turned.positions is self.batch.positions:
            self._unwritten = turned, keys, values
        else:
            self._write(keys, values)
        return keys, values

    def _write(self, keys: mx.array, values: mx.array) -> None:
        assert self.batch is not None
        self.pool = kv_write(self.pool, self.batch.slots, keys[:, :, 0], values[:, :, 0])

    def _turn_and_write(self, queries: mx.array) -> mx.array:
        """Turned queries [T, H, D], the keys and values that waited for them being written."""
        assert self.batch is not None
        assert self._unwritten is not None
        (key_rows, positions, rotation), keys, values = self._unwritten
        self._unwritten = None
        asked = recall(queries)
        if asked is None or asked.positions is not positions or asked.rotation is not rotation:
            self._write(keys, values)
            return queries[:, :, 0]
        turned, self.pool = rope_kv_write(
            self.pool,
            self.batch.slots,
            asked.rows[:, :, 0],
            key_rows[:, :, 0],
            values[:, :, 0],
            self.batch.positions,
            rotation.inv_freq,
            scale=rotation.scale,
            interleaved=rotation.interleaved,
        )
        return turned

    def attend(
        self,
        queries: mx.array,
        scale: float,
        sinks: mx.array | None = None,
        soft_cap: float | None = None,
    ) -> mx.array:
        """Attention of [T, H, 1, D] over each row's own sequence."""
        assert self.batch is not None
        rows = queries[:, :, 0] if self._unwritten is None else self._turn_and_write(queries)
        out = paged_attention(
            rows,
            self.pool,
            block_tables=self.batch.block_tables,
            query_starts=self.batch.query_starts,
            context_lens=self.batch.context_lens,
            scale=scale,
            window=self.window,
            sinks=sinks,
            soft_cap=soft_cap,
        )
        return out[:, :, None]


class ProbeCache(LayerCache):
    """Stands in for a layer's cache once, to learn its shape; nothing is computed."""

    def __init__(self) -> None:
        super().__init__(mx.zeros((0,)), None)
        self.shape: LayerShape | None = None
        self.calls: list[str] = []
        self.masked_windows: set[int] = set()
        self._fetched: tuple[mx.array, mx.array] | None = None

    def make_mask(self, *_args: object, **kwargs: object) -> None:
        """Note the window that the family's own mask would have."""
        if isinstance(window := kwargs.get("window_size"), int):
            self.masked_windows.add(window)

    @property
    def offset(self) -> mx.array:
        """Every row at the first position."""
        return mx.zeros((_PROBE_ROWS,), mx.int32)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Note the shapes."""
        self.calls.append("update")
        self.shape = LayerShape(keys.shape[1], keys.shape[-1], values.shape[-1])
        self._fetched = keys, values
        return keys, values

    def check_fetched(self, keys: mx.array, values: mx.array) -> None:
        """Note when a family attends to something else than what was fetched."""
        if self._fetched is None or self._fetched[0] is not keys or self._fetched[1] is not values:
            self.calls.append("change")

    def attend(
        self,
        queries: mx.array,
        scale: float,
        sinks: mx.array | None = None,
        soft_cap: float | None = None,
    ) -> mx.array:
        """Zeros in the shape of the result."""
        del scale, sinks, soft_cap
        self.calls.append("attend")
        assert self.shape is not None
        return mx.zeros((*queries.shape[:-1], self.shape.value_size), queries.dtype)


_PROBE_ROWS = 3
_PROBE_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def probe_layers(network: nn.Module) -> list[LayerShape]:
    """What each layer will cache, from one lazy pass that is never evaluated.

    Raises:
        Unsupported: a layer does not attend once to keys and values in a cache of its own.
    """
    caches = [ProbeCache() for _ in network.layers]
    try:
        logits = network(mx.zeros((_PROBE_ROWS, 1), mx.int32), cache=caches)
    except _PROBE_FAILURES as error:
        raise _not_paged(network, f"fails over pages: {error}") from error
    if logits.shape[:2] != (_PROBE_ROWS, 1):
        raise _not_paged(network, "mixes the rows of a batch")
    if any(cache.calls != ["update", "attend"] for cache in caches):
        raise _not_paged(network, "has layers that do more than attend to their own keys")
    _check_masks(network, caches)
    return [cache.shape for cache in caches if cache.shape]


def _check_masks(network: nn.Module, caches: list[ProbeCache]) -> None:
    """Windows that a family puts into its masks alone would be lost here."""
    windows = layer_windows(network)
    for cache, window in zip(caches, windows, strict=True):
        if cache.masked_windows - {window}:
            raise _not_paged(network, "has windows that its caches do not tell of")


def layer_windows(network: nn.Module) -> list[int | None]:
    """Sliding window of each layer in tokens, None where it sees everything.

    Raises:
        Unsupported: a layer keeps something other than keys and values (recurrent families).
    """
    if not hasattr(network, "make_cache"):
        return [None] * len(network.layers)
    windows: list[int | None] = []
    for cache in network.make_cache():
        kind = type(cache).__name__
        if kind not in {"KVCache", "RotatingKVCache"}:
            raise _not_paged(network, f"has layers with {kind} state")
        windows.append(cache.max_size if kind == "RotatingKVCache" else None)
    if len(windows) != len(network.layers):
        raise _not_paged(network, "has layers without a cache of their own")
    return windows


def _not_paged(network: nn.Module, why: str) -> Unsupported:
    family = type(network).__module__.rpartition(".")[2]
    return Unsupported(f"{family} {why}", hint="it runs with state for each sequence instead")


class KVCache:
    """All layers' pools: `num_blocks` blocks of `block_size` tokens each."""

    def __init__(
        self,
        shapes: list[LayerShape],
        windows: list[int | None],
        *,
        num_blocks: int,
        block_size: int,
        dtype: mx.Dtype,
    ) -> None:
        self.block_size = block_size
        self.dtype = dtype
        self.num_bytes = num_blocks * block_size * sum(s.token_bytes(dtype) for s in shapes)
        self.layers = [
            LayerCache(
                make_pool(num_blocks, s.num_kv_heads, block_size, s.key_size, s.value_size, dtype),
                window,
            )
            for s, window in zip(shapes, windows, strict=True)
        ]

    def begin_step(self, batch: Batch) -> None:
        """Let every layer see the step's positions, slots and block tables."""
        for layer in self.layers:
            layer.batch = batch

    def copy_blocks(self, copies: tuple[tuple[int, int], ...]) -> None:
        """Copy whole blocks, in order: a later copy may read what an earlier one wrote.

        In place, as bytes; no step may be under way.
        """
        pools = [_host_view(layer.pool) for layer in self.layers] if copies else []
        for source, target in copies:
            for pool in pools:
                pool[target] = pool[source]

    def read_block(self, block_id: int) -> bytes:
        """A block of all layers, as the disk keeps it."""
        return b"".join(_host_view(layer.pool)[block_id].tobytes() for layer in self.layers)

    def write_blocks(self, contents: tuple[tuple[int, bytes], ...]) -> None:
        """Put blocks back, in place; no step may be under way."""
        pools = [_host_view(layer.pool) for layer in self.layers] if contents else []
        for block_id, data in contents:
            start = 0
            for pool in pools:
                block = pool[block_id]
                saved = np.frombuffer(data, block.dtype, block.size, start)
                block[...] = saved.reshape(block.shape)
                start += block.nbytes

    @property
    def pools(self) -> list[mx.array]:
        """Every layer's memory."""
        return [layer.pool for layer in self.layers]


def _host_view(pool: mx.array) -> NDArray[np.generic]:
    """The pool's own memory, which the host shares."""
    return np.array(pool, copy=False)

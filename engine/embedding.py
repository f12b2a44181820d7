"""Texts to vectors: the network's last hidden states, pooled; several texts in one flat step."""

import json
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from engine.batch import make_batch
from engine.block_pool import BlockPool
from engine.kv_cache import KVCache
from engine.network.gguf_values import Metadata
from engine.network.sampled_rows import below_head
from engine.plan import ScheduledSequence, SchedulerOutput
from engine.request import Request
from engine.sequence import Sequence
from models.errors import InvalidInput, Unsupported, UserError
from models.files import ModelFiles
from models.formats.gguf import read_gguf

Pooling = Literal["mean", "cls", "last"]
Vector = NDArray[np.float32]

_GGUF_POOLING = {0: "last", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
"""By the number in the metadata; a model that names none is a causal one: its last token knows
most."""


@dataclass(frozen=True)
class EmbedOutput:
    """What one step did for one request; `vectors` when it has finished, in the texts' order."""

    request_id: str
    num_computed_tokens: int
    vectors: tuple[Vector, ...] | None = None
    error: UserError | None = None
    """Why there are none; the request has ended."""


@dataclass(eq=False)
class _Text:
    """One text on its way: its rows so far, summed up as the pooling wants it."""

    sequence: Sequence
    vector: NDArray[np.floating[Any]] | None = None


@dataclass
class _Job:
    request_id: str
    texts: list[_Text]
    num_computed_tokens: int = 0
    waiting: list[_Text] = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = list(self.texts)


class Embedder:
    """Shares the engine's blocks; between two steps of the engine it may take one of its own."""

    def __init__(
        self,
        files: ModelFiles,
        network: nn.Module,
        kv_cache: KVCache | None,
        pool: BlockPool,
        *,
        max_step_tokens: int,
    ) -> None:
        self._files = files
        self._below_head = below_head(network)
        self._kv_cache = kv_cache
        self._pool = pool
        self._max_step_tokens = max_step_tokens
        self._jobs: list[_Job] = []

    @cached_property
    def pooling(self) -> Pooling:
        """How a text's rows become one vector; read when it is first wanted.

        Raises:
            Unsupported: the network keeps state by sequence, or its files name a head.
        """
        if self._kv_cache is None or self._below_head is None:
            raise Unsupported(
                "this model gives no embeddings",
                hint="networks whose layers all keep keys and values do",
            )
        return read_pooling(self._files)

    @property
    def has_unfinished(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._jobs)

    def add(self, request_id: str, texts: SequenceOf[SequenceOf[int]]) -> None:
        """Queue texts as token ids, each within the context and not empty."""
        assert all(texts)
        num_prompt_logprobs = None if self.pooling == "last" else 0  # 0: all rows are wanted
        requests = [
            Request(request_id, tuple(text), num_prompt_logprobs=num_prompt_logprobs)
            for text in texts
        ]
        made = [_Text(Sequence(r, seed=0, arrival_s=0.0, turn_s=0.0)) for r in requests]
        self._jobs.append(_Job(request_id, made))

    def abort(self, request_id: str) -> None:
        """Forget a request; its blocks are free at once."""
        for job in [job for job in self._jobs if job.request_id == request_id]:
            self._jobs.remove(job)
            for text in job.texts:
                self._release(text)

    def step(self) -> list[EmbedOutput]:
        """One flat batch of the oldest texts; nothing while others hold the blocks."""
        plan = self._plan()
        if not plan:
            return []
        items = tuple(item for _, _, item in plan)
        assert self._kv_cache is not None
        batch = make_batch(SchedulerOutput(items), self._kv_cache.block_size)
        self._kv_cache.begin_step(batch)
        assert self._below_head is not None
        hidden = self._below_head(batch.ids[:, None], cache=self._kv_cache.layers)
        hidden = hidden[:, 0].astype(mx.float32)
        mx.eval(hidden, self._kv_cache.pools)
        rows, outputs = np.array(hidden), dict[str, EmbedOutput]()
        for job, text, item in plan:
            self._pool_rows(text, item, rows[: item.num_logit_rows])
            rows = rows[item.num_logit_rows :]
            job.num_computed_tokens += item.num_scheduled_tokens
            if text.sequence.num_computed_tokens == len(text.sequence):
                job.waiting.remove(text)
                self._release(text)
            outputs[job.request_id] = self._output(job)
        self._jobs = [job for job in self._jobs if job.waiting]
        return list(outputs.values())

    def _plan(self) -> list[tuple[_Job, _Text, ScheduledSequence]]:
        plan: list[tuple[_Job, _Text, ScheduledSequence]] = []
        budget = self._max_step_tokens
        for job in self._jobs:
            for text in job.waiting:
                if not budget or not self._take_blocks(text):
                    return plan
                sequence = text.sequence
                start = sequence.num_computed_tokens
                token_ids = tuple(sequence.token_ids[start : start + budget])
                plan.append((job, text, ScheduledSequence(sequence, start, token_ids)))
                budget -= len(token_ids)
        return plan

    def _take_blocks(self, text: _Text) -> bool:
        """All blocks of a text at once, so that none waits for another half-way."""
        table, size = text.sequence.block_table, self._pool.block_size
        num_missing = -(-len(text.sequence) // size) - len(table)
        if num_missing > self._pool.num_available:
            return False
        table += [self._pool.acquire() for _ in range(num_missing)]
        return True

    def _release(self, text: _Text) -> None:
        for block_id in text.sequence.block_table:
            self._pool.release(block_id)
        text.sequence.block_table = []

    def _pool_rows(self, text: _Text, item: ScheduledSequence, rows: Vector) -> None:
        text.sequence.num_computed_tokens += item.num_scheduled_tokens
        if self.pooling == "mean":
            total = rows.sum(axis=0, dtype=np.float64)
            text.vector = total if text.vector is None else text.vector + total
        elif self.pooling == "cls":
            text.vector = rows[0] if item.start == 0 else text.vector
        elif len(rows):
            text.vector = rows[-1]

    def _output(self, job: _Job) -> EmbedOutput:
        if job.waiting:
            return EmbedOutput(job.request_id, job.num_computed_tokens)
        vectors = []
        for text in job.texts:
            assert text.vector is not None
            scale = len(text.sequence) if self.pooling == "mean" else 1
            vectors.append((text.vector / scale).astype(np.float32))
        if not all(np.isfinite(vector).all() for vector in vectors):
            error = InvalidInput("embedding contains NaN or Inf values")
            return EmbedOutput(job.request_id, job.num_computed_tokens, error=error)
        return EmbedOutput(job.request_id, job.num_computed_tokens, tuple(vectors))


def read_pooling(files: ModelFiles) -> Pooling:
    """How the model's files say that a text's rows become one vector.

    Raises:
        Unsupported: by a head that ranks pairs of texts.
    """
    if files.format == "gguf":
        metadata = Metadata(read_gguf(files.paths[0]).metadata)
        name = _GGUF_POOLING.get(metadata.integer(".pooling_type", 0), "last")
    else:
        assert files.directory is not None
        name = _directory_pooling(files.directory)
    if name == "rank":
        raise Unsupported("models that rank pairs of texts are not supported")
    return next(pooling for pooling in get_args(Pooling) if pooling == name)


def _directory_pooling(directory: Path) -> str:
    """What a sentence-transformers directory says; `last` where it says nothing."""
    path = directory / "1_Pooling" / "config.json"
    settings: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if settings.get("pooling_mode_mean_tokens"):
        return "mean"
    return "cls" if settings.get("pooling_mode_cls_token") else "last"

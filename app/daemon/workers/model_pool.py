"""Which models are loaded: on demand, within the memory budget, for as long as they are wanted."""

import asyncio
import logging
import os
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.daemon.workers.model_worker import ModelKey, ModelSource, ModelWorker
from app.locations import kernel_checks_file, prefix_dir
from app.protocol import Load
from app.settings import Settings
from models.errors import Busy

log = logging.getLogger("localllm.daemon")


@dataclass(frozen=True)
class PoolLimits:
    """How much may be loaded at once, and how long a load may take."""

    memory_bytes: int
    max_models: int
    """0: no limit."""
    keep_alive_s: float
    load_timeout_s: float
    step_timeout_s: float
    """How long a worker may be silent while it is asked something."""


def make_limits(settings: Settings) -> PoolLimits:
    """The limits that the settings give, for this machine."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return PoolLimits(
        memory_bytes=settings.memory_bytes or machine_bytes * 3 // 4,
        max_models=settings.max_loaded_models,
        keep_alive_s=settings.keep_alive_s,
        load_timeout_s=settings.load_timeout_s,
        step_timeout_s=settings.step_timeout_s,
    )


class ModelPool:
    """One worker for each model in use; the least recently used idle ones make room."""

    def __init__(
        self, limits: PoolLimits, settings: Settings, library: str, command: Sequence[str] = ()
    ) -> None:
        self.limits = limits
        self.totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By model: evictions, and what its former workers have counted."""
        self._settings = settings
        self._library = library
        self._command = command
        self._workers: dict[ModelKey, ModelWorker] = {}
        self._timers: dict[ModelKey, asyncio.TimerHandle] = {}
        self._changed = asyncio.Condition()
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def workers(self) -> list[ModelWorker]:
        """What is loaded or loading; the one that stays longest first."""
        return sorted(self._workers.values(), key=lambda w: w.expires_at, reverse=True)

    def adopt(self, source: ModelSource, process: subprocess.Popen[bytes]) -> None:
        """Take over a worker that was started before the loop, as if it had been used once."""
        worker = self._add(source)
        worker.keep_alive_s = self.limits.keep_alive_s
        worker.adopt(process, self.limits.load_timeout_s)
        self._schedule_expiry(worker)

    @asynccontextmanager
    async def using(
        self, source: ModelSource, keep_alive_s: float | None
    ) -> AsyncIterator[ModelWorker]:
        """A worker that stays for as long as the block runs; it may still be loading.

        `keep_alive_s` is how long it stays afterwards; None: as before.

        Raises:
            Busy: it does not fit beside the models that are in use.
        """
        worker = self._workers.get(source.key)
        if worker is None:
            await self._make_room(source)
            worker = self._workers.get(source.key) or self._add(source)
        worker.num_users += 1
        if keep_alive_s is not None:
            worker.keep_alive_s = keep_alive_s
        self._cancel_expiry(worker)
        try:
            yield worker
        finally:
            worker.num_users -= 1
            worker.last_used_s = time.monotonic()
            if not worker.num_users:
                await self._become_idle(worker)

    async def unload(self, source: ModelSource) -> None:
        """End the worker of a model as soon as nobody uses it; nothing if there is none."""
        worker = self._workers.get(source.key)
        if worker is not None:
            worker.keep_alive_s = 0.0
            if not worker.num_users:
                await self._remove(worker)

    async def unload_name(self, name: str) -> None:
        """End all workers of a model that is being deleted, in use or not."""
        for worker in [w for w in self._workers.values() if w.source.files.name == name]:
            await self._remove(worker)

    async def close(self) -> None:
        """End all workers."""
        await asyncio.gather(*(self._remove(worker) for worker in self.workers))
        if self._stopping:
            await asyncio.wait(self._stopping)

    def make_load(self, source: ModelSource) -> Load:
        """What a worker for this model is told."""
        return make_load(source, self._settings, self._library)

    def _add(self, source: ModelSource) -> ModelWorker:
        load, limit_s = self.make_load(source), self.limits.step_timeout_s
        worker = ModelWorker(source, load, self._command, limit_s)
        worker.keep_alive_s = self.limits.keep_alive_s
        self._workers[source.key] = worker
        return worker

    async def _make_room(self, source: ModelSource) -> None:
        while not self._has_room(source):
            idle = [w for w in self._workers.values() if not w.num_users]
            if idle:
                oldest = min(idle, key=lambda w: w.last_used_s)
                log.info("unloading %s to make room", oldest.source.files.name)
                self.totals[oldest.source.files.name]["num_unloaded_for_room"] += 1
                await self._remove(oldest)
                continue
            await self._wait_for_idle(source)

    def _has_room(self, source: ModelSource) -> bool:
        if source.key in self._workers or not self._workers:
            return True
        if self.limits.max_models and len(self._workers) >= self.limits.max_models:
            return False
        taken_bytes = sum(worker.size_bytes for worker in self._workers.values())
        return taken_bytes + source.size_bytes <= self.limits.memory_bytes

    async def _wait_for_idle(self, source: ModelSource) -> None:
        try:
            async with asyncio.timeout(self.limits.load_timeout_s), self._changed:
                await self._changed.wait()
        except TimeoutError:
            raise Busy(
                f"no memory for model '{source.files.name}': all loaded models are in use",
                hint="wait, stop one with `localllm stop`, or set LOCALLLM_MEMORY",
            ) from None

    async def _become_idle(self, worker: ModelWorker) -> None:
        if self._workers.get(worker.source.key) is not worker:
            return
        if worker.keep_alive_s <= 0 or not worker.is_loaded:
            self._remove_soon(worker)
        else:
            self._schedule_expiry(worker)
        async with self._changed:
            self._changed.notify_all()

    def _schedule_expiry(self, worker: ModelWorker) -> None:
        if worker.keep_alive_s != float("inf"):
            loop = asyncio.get_running_loop()
            delay_s = min(worker.keep_alive_s, 1e9)
            self._timers[worker.source.key] = loop.call_later(delay_s, self._remove_soon, worker)

    def _cancel_expiry(self, worker: ModelWorker) -> None:
        timer = self._timers.pop(worker.source.key, None)
        if timer is not None:
            timer.cancel()

    def _remove_soon(self, worker: ModelWorker) -> None:
        task = asyncio.get_running_loop().create_task(self._remove(worker))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _remove(self, worker: ModelWorker) -> None:
        self._cancel_expiry(worker)
        if self._workers.get(worker.source.key) is worker:
            del self._workers[worker.source.key]
            totals = self.totals[worker.source.files.name]
            totals += worker.totals + Counter(num_restarts=worker.num_restarts)
        await worker.stop()
        async with self._changed:
            self._changed.notify_all()


def make_load(source: ModelSource, settings: Settings, library: str) -> Load:
    """The `Load` message for a model under these settings."""
    return Load(
        model=source.text,
        library=library,
        adapter=source.adapter,
        draft=settings.draft if source.draft is None else source.draft,
        is_draft_needed=source.draft is not None,
        max_context_tokens=settings.max_context_tokens,
        kv_cache_bytes=settings.kv_cache_bytes,
        kv_type=source.kv_type or settings.kv_type,
        num_threads=settings.num_threads,
        prefix_directory=str(prefix_dir(settings.home)),
        prefix_bytes=settings.prefix_disk_bytes,
        kernel_checks=str(kernel_checks_file(settings.home)),
    )

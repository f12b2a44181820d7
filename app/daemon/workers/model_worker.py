"""One loaded model: its worker process, replaced when it dies, and who uses it until when."""

import asyncio
import logging
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.daemon.event_queue import WorkerDied
from app.daemon.workers.worker_process import WorkerProcess, spawn_worker
from app.protocol import Load, Ready
from models.errors import Busy, UserError
from models.files import ModelFiles
from models.memory_plan import KvType

log = logging.getLogger("localllm.daemon")

ENGINE_TOTALS = ("num_steps", "num_preemptions", "num_evictions")
"""Counts that only grow, of `engine.metrics`."""
MAX_SHOWN = timedelta(days=36_500)
"""How far in the future "never" is shown."""


@dataclass(frozen=True)
class ModelKey:
    """What a worker is for: two requests with equal keys share one."""

    name: str
    digest: str
    adapter: str | None
    draft: str | None
    kv_type: KvType | None


@dataclass(frozen=True)
class ModelSource:
    """A model that was asked for, found in the library."""

    text: str
    """As it was asked for: a name, or an absolute path."""
    files: ModelFiles
    adapter: str | None = None
    draft: str | None = None
    """A model that drafts for it, as it was asked for; "": none."""
    kv_type: KvType | None = None
    """How its keys and values are kept; None: not said."""

    @property
    def key(self) -> ModelKey:
        """Equal for the same content under the same name."""
        return ModelKey(self.files.name, self.files.digest, self.adapter, self.draft, self.kv_type)

    @property
    def size_bytes(self) -> int:
        """Of the weights on disk, which is about what they take in memory."""
        directory = self.files.directory
        paths = self.files.paths or (directory.glob("*.safetensors") if directory else ())
        return sum(path.stat().st_size for path in paths)


class ModelWorker:
    """Keeps a process for `source` alive while it is wanted."""

    def __init__(
        self, source: ModelSource, load: Load, command: Sequence[str], step_timeout_s: float
    ) -> None:
        self.source = source
        self.keep_alive_s = 0.0
        self.num_users = 0
        self.num_restarts = 0
        self.last_used_s = time.monotonic()
        self.ready: Ready | None = None
        """Of the latest process."""
        self._former_totals: Counter[str] = Counter()
        self._load = load
        self._command = command
        self._step_timeout_s = step_timeout_s
        self._process: WorkerProcess | None = None
        self._starting: asyncio.Task[WorkerProcess] | None = None

    @property
    def process(self) -> WorkerProcess | None:
        """The latest process, which may be loading or dead."""
        return self._process

    @property
    def totals(self) -> Counter[str]:
        """What the engines of all its processes have counted so far."""
        return self._former_totals + _totals(self._process)

    @property
    def size_bytes(self) -> int:
        """Memory it takes: as reported, or as guessed before that."""
        if self.ready is None:
            return self.source.size_bytes + (self._load.kv_cache_bytes or 0)
        return self.ready.weight_bytes + self.ready.kv_bytes

    @property
    def expires_at(self) -> datetime:
        """When it is unloaded if nobody comes; for a model in use, if it became idle now."""
        since = time.monotonic() if self.num_users else self.last_used_s
        left_s = self.keep_alive_s - (time.monotonic() - since)
        return datetime.now(UTC) + timedelta(seconds=min(left_s, MAX_SHOWN.total_seconds()))

    def adopt(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        """Take over a process that was started on the same load before there was a loop."""
        self._begin(timeout_s, process)

    def start(self, timeout_s: float) -> asyncio.Task[WorkerProcess]:
        """The task that ends with a ready process; one for all who wait. Do not cancel it."""
        if self._starting is not None and self._starting.done() and not self.is_loaded:
            self._starting = None
        return self._starting or self._begin(timeout_s, None)

    async def stop(self) -> None:
        """End the process, also while it loads."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._process is not None and self._process.is_alive:
            await self._process.stop()

    @property
    def is_loaded(self) -> bool:
        """Whether it can answer at once."""
        return self._process is not None and self._process.is_alive and self.ready is not None

    def _begin(
        self, timeout_s: float, popen: subprocess.Popen[bytes] | None
    ) -> asyncio.Task[WorkerProcess]:
        self._starting = asyncio.create_task(self._start(timeout_s, popen))
        self._starting.add_done_callback(_log_failure)
        return self._starting

    async def _start(
        self, timeout_s: float, popen: subprocess.Popen[bytes] | None
    ) -> WorkerProcess:
        if self._process is not None:
            self.num_restarts += 1
            self._former_totals += _totals(self._process)
        self.ready = None
        begun_s = time.monotonic()
        process = popen or spawn_worker(self._load, self._command)
        self._process = WorkerProcess(process, self._step_timeout_s)
        name = self.source.files.name
        log.info("loading %s in worker %d", name, self._process.pid)
        try:
            await self._process.attach()
            async with asyncio.timeout(min(timeout_s, 86_400.0)):
                self.ready = await self._process.ready
        except TimeoutError:
            raise Busy(
                f"model '{name}' was not loaded after {timeout_s:g} s",
                hint="set LOCALLLM_LOAD_TIMEOUT to allow more",
            ) from None
        except WorkerDied as death:
            raise UserError(
                f"the process that was loading model '{name}' ended: {death.cause}",
                hint="the daemon's log may say why; a smaller model or context needs less memory",
            ) from death
        finally:
            if self.ready is None:
                self._process.kill()
        log.info("loaded %s in %.2f s", name, time.monotonic() - begun_s)
        self.ready = replace(self.ready, load_s=time.monotonic() - begun_s)
        return self._process


def _totals(process: WorkerProcess | None) -> Counter[str]:
    counts = {} if process is None else process.metrics.counts
    return Counter({name: counts.get(name, 0) for name in ENGINE_TOTALS})


def _log_failure(starting: asyncio.Task[WorkerProcess]) -> None:
    """Also those that nobody waited for."""
    if not starting.cancelled() and (error := starting.exception()) is not None:
        log.warning("%s", error)

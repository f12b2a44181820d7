"""What `localllm doctor` looks at; each check says what it found and how to mend it."""

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import localllm
from app.cli.arguments import open_library
from app.cli.output import count
from app.locations import kernel_checks_file
from app.settings import Settings
from app.sizes import format_bytes
from models.errors import InvalidInput, UserError

MIN_FREE_BYTES = 5 * 10**9
"""Less than this holds no useful model."""
MIN_MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Check:
    """`fix` says what to do unless `state` is ok."""

    name: str
    state: Literal["ok", "slow", "problem"]
    found: str
    fix: str = ""


def run_checks(settings: Settings) -> list[Check]:
    """All checks, in the order in which they are shown."""
    checks: tuple[Callable[[Settings], Check], ...] = (
        check_versions,
        check_kernels,
        check_memory,
        check_home,
        check_disk,
        check_library,
        check_daemon,
    )
    return [check(settings) for check in checks]


def check_versions(_settings: Settings) -> Check:
    """This product, Python and the libraries that matter most."""
    found = (
        f"localllm {localllm.__version__}, Python {platform.python_version()}, "
        f"MLX {version('mlx')}, {platform.system()} {platform.machine()}"
    )
    return Check("versions", "ok", found)


def check_kernels(settings: Settings) -> Check:
    """Which kernels run here, and which failed their check and are done without."""
    from engine.kernels import describe_kernels, failed_kernel_checks

    try:
        kernels = describe_kernels()
    except InvalidInput as error:
        return Check("kernels", "problem", error.message, error.hint or "")
    found = " ".join(filter(None, (kernels.backend, kernels.isa)))
    found += f", {count(kernels.num_threads, 'thread')}"
    if kernels.slow_because:
        return Check("kernels", "slow", f"{found}: {kernels.slow_because}", kernels.hint)
    if failed := failed_kernel_checks(kernel_checks_file(settings.home)):
        fix = "an update of MLX, macOS or localllm may mend it: they are then checked again"
        return Check("kernels", "slow", f"{found}, but for {'; '.join(failed)}", fix)
    return Check("kernels", "ok", found)


def check_memory(_settings: Settings) -> Check:
    """Physical memory."""
    from models.fit import total_memory_bytes

    total_bytes = total_memory_bytes()
    found = f"{total_bytes / 2**30:.1f} GiB"
    if total_bytes < MIN_MEMORY_BYTES:
        return Check("memory", "slow", found, "use models of 1B parameters or fewer")
    return Check("memory", "ok", found)


def check_home(settings: Settings) -> Check:
    """Whether the library, the history and the logs can be written."""
    folder = _nearest_existing(settings.home)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        fix = "make it writable, or point LOCALLLM_HOME elsewhere"
        return Check("home", "problem", f"{settings.home}: {folder} cannot be written", fix)
    made = "" if folder == settings.home else " (made when first needed)"
    return Check("home", "ok", f"{settings.home}{made}")


def check_disk(settings: Settings) -> Check:
    """Free space where models are stored."""
    free_bytes = shutil.disk_usage(_nearest_existing(settings.home)).free
    found = f"{format_bytes(free_bytes)} free"
    if free_bytes < MIN_FREE_BYTES:
        fix = "`localllm rm` removes models; LOCALLLM_HOME may point to another disk"
        return Check("disk", "problem", found, fix)
    return Check("disk", "ok", found)


def check_library(settings: Settings) -> Check:
    """How many models there are."""
    try:
        models = open_library(settings).list()
    except (UserError, OSError) as error:
        return Check("library", "problem", str(error), "see the message")
    if not models:
        fix = "`localllm pull` fetches one"
        return Check("library", "problem", "no models, not even the bundled one", fix)
    size = format_bytes(sum(model.size_bytes for model in models))
    return Check("library", "ok", f"{count(len(models), 'model')}, {size}")


def check_daemon(settings: Settings) -> Check:
    """Whether a daemon answers."""
    from app.client import DaemonClient

    where = f"{settings.host}:{settings.port}"
    try:
        found = DaemonClient(settings.host, settings.port).version()
    except UserError:
        return Check("daemon", "ok", f"none at {where}: commands start their own")
    return Check("daemon", "ok", f"{found} at {where}")


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())

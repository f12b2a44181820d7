"""Installs the daemon for the system to start, removes it, and says how it is."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from app.autostart.launchd import Launchd
from app.autostart.programs import Run, run_program
from app.autostart.systemd import Systemd
from app.autostart.unit import Unit
from models.errors import StorageError, Unsupported

System = Launchd | Systemd


@dataclass(frozen=True)
class Status:
    """How the daemon stands with the system."""

    path: Path
    is_installed: bool
    is_current: bool
    """Whether the file is what an installation would write now."""
    is_running: bool


def this_system(platform: str = sys.platform, run: Run = run_program) -> System:
    """The system's own starter of programs.

    Raises:
        Unsupported: neither macOS nor Linux.
    """
    if platform == "darwin":
        return Launchd(run, Path.home() / "Library" / "LaunchAgents")
    if platform == "linux":
        config = os.environ.get("XDG_CONFIG_HOME")
        base = Path(config) if config else Path.home() / ".config"
        return Systemd(run, base / "systemd" / "user")
    raise Unsupported(f"no service can be installed on {platform}")


def install(system: System, unit: Unit) -> bool:
    """Write the file and start the daemon; False where it was so already.

    Raises:
        Unsupported: the system cannot serve this user.
        StorageError: the file cannot be written.
    """
    system.check()
    found = read_status(system, unit)
    if found.is_current and found.is_running:
        return False
    try:
        unit.log_file.parent.mkdir(parents=True, exist_ok=True)
        system.path.parent.mkdir(parents=True, exist_ok=True)
        aside = system.path.with_name(f".{system.path.name}.{os.getpid()}")
        aside.touch(mode=0o600)
        aside.write_text(system.render(unit), encoding="utf-8")
        aside.replace(system.path)
    except OSError as error:
        raise StorageError(f"{system.path} cannot be written: {error}") from error
    system.start()
    return True


def uninstall(system: System) -> bool:
    """End the daemon and remove the file; False where there was none.

    Raises:
        StorageError: the file cannot be removed.
    """
    if not system.path.exists():
        return False
    system.stop()
    try:
        system.path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{system.path} cannot be removed: {error}") from error
    return True


def read_status(system: System, unit: Unit) -> Status:
    """How it is now."""
    try:
        written = system.path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Status(system.path, False, False, False)
    is_running = system.is_running()
    return Status(system.path, True, written == system.render(unit), is_running)

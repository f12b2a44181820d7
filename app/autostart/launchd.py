"""The daemon as an agent of macOS' launchd."""

import os
import plistlib
from dataclasses import dataclass
from pathlib import Path

from app.autostart.programs import Run
from app.autostart.unit import Unit

LABEL = "org.localllm.daemon"


@dataclass(frozen=True)
class Launchd:
    """`~/Library/LaunchAgents`, and launchctl for the user who is logged in."""

    run: Run
    directory: Path

    @property
    def path(self) -> Path:
        """The agent's file."""
        return self.directory / f"{LABEL}.plist"

    @property
    def starts(self) -> str:
        """When it runs, for people."""
        return "at login"

    def render(self, unit: Unit) -> str:
        """The agent as a property list: started again after a crash, not after a clean end."""
        agent = {
            "Label": LABEL,
            "ProgramArguments": list(unit.command),
            "EnvironmentVariables": dict(unit.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": 30,
            "ProcessType": "Interactive",
            "StandardOutPath": str(unit.log_file),
            "StandardErrorPath": str(unit.log_file),
        }
        return plistlib.dumps(agent, sort_keys=False).decode()

    def check(self) -> None:
        """Raises Unsupported where launchctl does not answer."""
        self.run("launchctl", "version", must_exist=True)

    def start(self) -> None:
        """Load the file anew and run the daemon."""
        self.stop()
        self.run("launchctl", "bootstrap", _domain(), str(self.path), must_succeed=True)

    def stop(self) -> None:
        """End the daemon and forget the file; nothing where it is not loaded."""
        self.run("launchctl", "bootout", f"{_domain()}/{LABEL}")

    def is_running(self) -> bool:
        """Whether the daemon runs now."""
        said = self.run("launchctl", "print", f"{_domain()}/{LABEL}")
        return said.is_good and "state = running" in said.text


def _domain() -> str:
    return f"gui/{os.getuid()}"

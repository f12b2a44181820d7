"""The daemon as a user unit of Linux' systemd."""

from dataclasses import dataclass
from pathlib import Path

from app.autostart.programs import Run
from app.autostart.unit import Unit

NAME = "localllm.service"


@dataclass(frozen=True)
class Systemd:
    """`~/.config/systemd/user`, and `systemctl --user`."""

    run: Run
    directory: Path

    @property
    def path(self) -> Path:
        """The unit's file."""
        return self.directory / NAME

    @property
    def starts(self) -> str:
        """When it runs, for people."""
        return "at login; before it too after `loginctl enable-linger`"

    def render(self, unit: Unit) -> str:
        """The unit: started again after a crash, not after a clean end."""
        environment = [
            f"Environment={_quote(f'{name}={value}')}" for name, value in unit.environment.items()
        ]
        lines = [
            "[Unit]",
            "Description=LocalLLM: language models on this machine",
            "StartLimitIntervalSec=60",
            "StartLimitBurst=5",
            "",
            "[Service]",
            f"ExecStart={' '.join(_quote(_plain(part)) for part in unit.command)}",
            *environment,
            "Restart=on-failure",
            "RestartSec=2",
            "KillMode=mixed",
            "TimeoutStopSec=30",
            f"StandardOutput=append:{_percent(str(unit.log_file))}",
            f"StandardError=append:{_percent(str(unit.log_file))}",
            "",
            "[Install]",
            "WantedBy=default.target",
        ]
        return "\n".join(lines) + "\n"

    def check(self) -> None:
        """Raises Unsupported where no systemd serves this user."""
        self.run("systemctl", "--user", "show-environment", must_exist=True, must_succeed=True)

    def start(self) -> None:
        """Read the file anew and run the daemon, now and at each login."""
        self._do("daemon-reload")
        self._do("enable", NAME)
        self._do("restart", NAME)

    def stop(self) -> None:
        """End the daemon and do not start it again; nothing where there is none."""
        self.run("systemctl", "--user", "disable", "--now", NAME)

    def is_running(self) -> bool:
        """Whether the daemon runs now."""
        return self.run("systemctl", "--user", "is-active", "--quiet", NAME).is_good

    def _do(self, *arguments: str) -> None:
        self.run("systemctl", "--user", *arguments, must_succeed=True)


def _quote(text: str) -> str:
    """One word of a unit file, which knows quotes, backslashes and `%` (systemd.syntax(7))."""
    escaped = _percent(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(text: str) -> str:
    """A word of a command line, where `$` would be a variable."""
    return text.replace("$", "$$")


def _percent(text: str) -> str:
    return text.replace("%", "%%")

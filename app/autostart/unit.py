"""What a system is told to run at login, whichever system it is."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.locations import launcher, log_dir
from app.settings import Settings, known_variables
from models.errors import InvalidInput

_OTHERS_KEPT = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "HF_HOME", "HF_ENDPOINT")
_SECRETS = frozenset({"LOCALLLM_API_KEY"})
"""What the daemon does not need and no file should hold."""


@dataclass(frozen=True)
class Unit:
    """The daemon's command, its environment and where its log goes; all paths are absolute."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    log_file: Path


def make_unit(settings: Settings, environ: Mapping[str, str] = os.environ) -> Unit:
    """The daemon as it would run now, by this Python and with the variables that are set now.

    Raises:
        InvalidInput: a value that no unit file can hold.
    """
    kept = sorted((known_variables() - _SECRETS) | set(_OTHERS_KEPT))
    environment = {name: environ[name] for name in kept if environ.get(name)}
    for name, value in environment.items():
        if not value.isprintable():
            raise InvalidInput(f"{name} holds {value!r}, which cannot stand in a unit file")
    python = Path(sys.executable).absolute()
    command = (str(python), "-E", "-P", str(launcher()), "serve")
    return Unit(command, environment, log_dir(settings.home) / "daemon.log")

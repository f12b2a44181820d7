"""A daemon for one program: the one that runs, else one of its own that ends with it."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from app.client import CONNECT_TIMEOUT_S, DaemonClient, Json, error_of
from app.locations import launcher, log_dir
from app.settings import Settings
from models.errors import UserError

START_TIMEOUT_S = 30.0
MAX_LOG_BYTES = 1 << 20
"""Beyond this the log of private daemons begins anew."""


@contextmanager
def connect_or_start(
    settings: Settings,
    preload: str | None = None,
    chat_options: Mapping[str, Any] | None = None,
) -> Iterator[DaemonClient]:
    """A client of the daemon that runs, else of a private one that ends with this process.

    A private daemon loads `preload` at once, while it is still starting itself. Its log goes to a
    file of the log directory. Every chat has `chat_options`.
    """
    running = DaemonClient(settings.host, settings.port, timeout_s=CONNECT_TIMEOUT_S)
    if running.is_up():
        with DaemonClient(
            *settings.address, api_key=settings.api_key, chat_options=chat_options
        ) as client:
            yield client
        return
    with (
        _private_daemon(settings, preload) as address,
        DaemonClient(*address, api_key=settings.api_key, chat_options=chat_options) as own,
    ):
        yield own


@contextmanager
def _private_daemon(settings: Settings, preload: str | None) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-E", "-P", str(launcher()), "serve", "--private"]
    command += [] if preload is None else ["--preload", preload]
    log_file = log_dir(settings.home) / "private-daemon.log"
    with _open_log(log_file) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield _read_address(process, log_file)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _open_log(path: Path) -> IO[bytes]:
    """The file to append to; where none can be, the log is lost and nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_long = path.exists() and path.stat().st_size > MAX_LOG_BYTES
        return path.open("wb" if is_long else "ab")
    except OSError:
        return Path(os.devnull).open("ab")


def _read_address(process: subprocess.Popen[bytes], log_file: Path) -> tuple[str, int]:
    """The address that a private daemon prints when it listens.

    Raises:
        UserError: it printed an error instead, or nothing.
    """
    assert process.stdout is not None
    hint = f"{log_file} may say why"
    if not select.select([process.stdout], [], [], START_TIMEOUT_S)[0]:
        raise UserError(f"the private daemon was not up after {START_TIMEOUT_S:g} s", hint=hint)
    line = process.stdout.readline()
    if not line:
        raise UserError("the private daemon ended while it started", hint=hint)
    said: Json = json.loads(line)
    if "error" in said:
        raise error_of(said, said["status"])
    return said["host"], said["port"]

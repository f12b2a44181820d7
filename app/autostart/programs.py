"""Runs the system's own programs: the border that tests put something else behind."""

import subprocess
from dataclasses import dataclass
from typing import Protocol

from models.errors import Unsupported, UserError

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Said:
    """How a program ended and what it wrote."""

    is_good: bool
    text: str


class Run(Protocol):
    """What `run_program` is, and what stands in for it."""

    def __call__(
        self, program: str, *arguments: str, must_exist: bool = False, must_succeed: bool = False
    ) -> Said:
        """See `run_program`."""


def run_program(
    program: str, *arguments: str, must_exist: bool = False, must_succeed: bool = False
) -> Said:
    """Run a program to its end.

    Raises:
        Unsupported: with `must_exist`, where it is not there or says that it cannot serve us.
        UserError: with `must_succeed`, where it fails.
    """
    try:
        done = subprocess.run(
            [program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
        said = Said(done.returncode == 0, done.stdout.decode(errors="replace").strip())
    except FileNotFoundError:
        said = Said(False, f"{program} is not installed")
    if said.is_good or not (must_succeed or must_exist):
        return said
    if must_exist:
        raise Unsupported(
            f"no service can be installed here: {said.text or program + ' fails'}",
            hint="start the daemon another way: `localllm serve`; with --dry-run the file is shown",
        )
    raise UserError(f"`{' '.join((program, *arguments))}` failed: {said.text}")

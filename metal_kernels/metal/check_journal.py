"""Which check is running, on disk: a kernel that takes its process with it is not tried again."""

import os
from contextlib import suppress
from pathlib import Path


class CheckJournal:
    """One process's file beside the results; it exists only while checks run."""

    def __init__(self, results_path: Path) -> None:
        self._path = results_path.with_suffix(f".running-{os.getpid()}")
        self.deadly = _deadly_kernels(results_path)
        """Kernels in whose checks an earlier process ended."""

    def begin(self, kernel: str) -> None:
        """Note that a check of `kernel` starts, where notes can be kept."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("\n".join([*sorted(self.deadly), kernel]))

    def end(self) -> None:
        """All checks are over and their results kept."""
        for path in (self._path, *_abandoned(self._path)):
            with suppress(OSError):
                path.unlink()


def _deadly_kernels(results_path: Path) -> set[str]:
    paths = _abandoned(results_path.with_suffix(".running-0"))
    return {kernel for path in paths for kernel in path.read_text().splitlines()}


def _abandoned(journal: Path) -> list[Path]:
    """Journals of processes that are no more."""
    paths = journal.parent.glob(f"{journal.stem}.running-*")
    return [path for path in paths if not _is_alive(int(path.name.rpartition("-")[2]))]


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

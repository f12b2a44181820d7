"""Compiles every kernel a model needs and compares it with its definition, before it is used.

Shaders are written without a Mac at hand; this is where they first meet the user's. Small inputs:
what takes time is Metal's compiler. Results are kept in a file, by `fingerprint` and needs.
"""

import hashlib
import logging
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from metal_kernels.metal import trust, tuning
from metal_kernels.metal.check_cases import Check, Needs, checks
from metal_kernels.metal.check_journal import CheckJournal
from metal_kernels.metal.kept_table import read_table, write_table
from metal_kernels.metal.kernel import SHADERS

log = logging.getLogger("localllm.kernels")


class CheckResult(NamedTuple):
    """One variant: the kernel it belongs to, and why it failed ("" if it did not)."""

    kernel: str
    variant: str
    reason: str
    seconds: float


def ensure_checked(needs: Needs, results_path: Path) -> list[CheckResult]:
    """Results for these needs on this machine, from the file or from a run that writes it.

    Call it before weights are loaded: a format whose kernels fail is then kept another way.
    """
    key = _key(needs)
    known = _read_results(results_path)
    if key in known:
        apply_results(known[key])
        return known[key]
    journal = CheckJournal(results_path)
    results = check_kernels(needs, journal)
    kept = {k: v for k, v in known.items() if k.split()[:1] == key.split()[:1]}
    try:
        write_table(results_path, {**kept, key: results})
    except OSError as error:  # the next process checks again
        log.warning("results of the check of Metal kernels are not kept: %s", error)
    journal.end()
    return results


def is_checked(needs: Needs, results_path: Path) -> bool:
    """Whether `ensure_checked` would find its results in the file."""
    return _key(needs) in _read_results(results_path)


def _key(needs: Needs) -> str:
    return " ".join([fingerprint(), needs.describe(), *map(str, tuning.current())])


def _read_results(path: Path) -> dict[str, list[CheckResult]]:
    """Results by fingerprint and needs, without those that are damaged."""
    known: dict[str, list[CheckResult]] = {}
    for key, entries in read_table(path).items():
        try:
            known[key] = [
                CheckResult(str(kernel), str(variant), str(reason), float(seconds))
                for kernel, variant, reason, seconds in entries
            ]
        except (TypeError, ValueError):
            continue
    return known


def check_kernels(needs: Needs, journal: CheckJournal | None = None) -> list[CheckResult]:
    """Runs all checks and marks the kernels that fail as broken (see `trust`).

    With a journal, a kernel that ended the process before fails without being run again.
    """
    results = []
    for check in checks(needs):
        kernel, variant, _ = check
        if journal is not None and kernel in journal.deadly:
            results.append(CheckResult(kernel, variant, "it ended the process that ran it", 0.0))
            continue
        if journal is not None:
            journal.begin(kernel)
        results.append(_run(check, needs.dtype))
    apply_results(results)
    return results


def apply_results(results: list[CheckResult]) -> None:
    """Marks broken what failed in results of an earlier run."""
    for result in results:
        if result.reason:
            trust.mark_broken(result.kernel, f"{result.variant}: {result.reason}")


def fingerprint() -> str:
    """Names all that a result depends on: chip, system, MLX and our shaders."""
    texts = "".join(path.read_text() for path in sorted(SHADERS.rglob("*.metal")))
    chip = mx.device_info().get("device_name", "") if mx.metal.is_available() else ""
    parts = (str(chip), platform.platform(), version("mlx"), texts)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def failures(path: Path) -> list[CheckResult]:
    """What earlier runs on this machine found broken, for whatever models they were."""
    mine = fingerprint()
    results = [
        result
        for key, results in _read_results(path).items()
        if key.split()[:1] == [mine]
        for result in results
    ]
    return list({(r.kernel, r.variant): r for r in results if r.reason}.values())


def _run(check: Check, dtype: mx.Dtype) -> CheckResult:
    kernel, variant, function = check
    start = time.perf_counter()
    try:
        actual, expected = function()
        mx.eval(actual, expected)
        reason = _difference(actual, expected, dtype)
    except (RuntimeError, ValueError) as error:  # Metal refuses the text; MLX, so many threads
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if "error" in line), lines[0])
    return CheckResult(kernel, variant, reason, time.perf_counter() - start)


def _difference(actual: mx.array, expected: mx.array, dtype: mx.Dtype) -> str:
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, not {expected.shape}"
    ours, theirs = (np.array(x.astype(mx.float32)) for x in (actual, expected))
    scale = float(np.abs(theirs).max()) or 1.0
    error = float(np.abs(ours - theirs).max()) / scale
    most = {mx.float16: 4e-3, mx.bfloat16: 3e-2, mx.float32: 1e-4}[dtype]
    return "" if error <= most else f"relative error {error:.1e}, above {most:.0e}"

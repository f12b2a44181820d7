"""Our Metal shaders on an NVIDIA GPU: are they right, and how much of its bandwidth do they use.

Needs CuPy and NVRTC; without a GPU it says so and ends well. With --compile-only it needs NVRTC
alone and tells registers, and where nvdisasm is at hand, the instructions of loops.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from metal_kernels.metal import fence, self_check, tuning
from metal_kernels.metal.block_formats import FORMATS
from metal_kernels.metal.check_cases import Needs, Product, checks
from scripts.shaders_cuda import timing
from scripts.shaders_cuda.cases import Case, cases
from scripts.shaders_cuda.gpu import Gpu, Launch

MOST_ERROR = 4e-3
LAYOUT = {
    "matvec_weight_rows": 2,
    "matvec_simdgroups": 4,
    "small_simdgroups": 8,
    "small_wide_outputs": 16384,
    "attention_threadgroups": 512,
}
"""The fastest of a sweep on an H200; LOCALLLM_METAL_TUNING overrides single values."""
MOST_8_ROWS = 1.3
"""Times the time of one row, which eight may take."""


class Figure(NamedTuple):
    """One row of the table."""

    name: str
    shape: str
    seconds: float
    gigabytes_s: float
    share: float
    least_share: float | None
    error: float
    resources: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench_shaders_cuda", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name or shape contains this")
    parser.add_argument("--skip-checks", action="store_true", help="only time")
    parser.add_argument("--compile-only", action="store_true", help="needs no GPU")
    parser.add_argument("--architecture", default="sm_90", help="with --compile-only")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    asked = parser.parse_args()
    chosen = [c for c in cases() if asked.only in f"{c.name}, {c.shape}"]
    if asked.compile_only:
        compile_all(Gpu(None, asked.architecture), chosen)
        return
    gpu = find_gpu()
    if gpu is None:
        return
    with gpu.replace_metal():
        wrong = 0 if asked.skip_checks else check_all(gpu)
        tuning.use(LAYOUT)
        figures = list(time_all(gpu, chosen))
    compare_rows(figures)
    if asked.json:
        asked.json.write_text(json.dumps([f._asdict() for f in figures], indent=1))
    if wrong or any(f.error > MOST_ERROR for f in figures):
        raise SystemExit("wrong results")


def find_gpu() -> Gpu | None:
    """The card, if this machine has one that CuPy can use; else says why not."""
    try:
        import cupy  # type: ignore[import-not-found]
    except ImportError:
        print("no CuPy here (pip install cupy-cuda13x): the shaders were not run on a GPU")
        return None
    try:
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        print(f"no NVIDIA GPU here ({error}): the shaders were not run on one")
        return None
    architecture = f"sm_{cupy.cuda.Device().compute_capability}"
    print(f"{name}, {architecture}")
    return Gpu(cupy, architecture)


def needs() -> Iterator[Needs]:
    """Models between them that launch every variant."""
    alone = {Product((name,), num_outputs) for name in FORMATS for num_outputs in (1024, 8192)}
    joint = {Product(names, 6144) for names in (("Q4_K", "Q4_K", "Q6_K"), ("Q8_0", "Q8_0"))}
    yield Needs(
        frozenset(alone | joint), mx.float16, mx.float16, num_heads=32, num_kv_heads=8,
        head_size=128, value_size=128, block_size=16, stacks=frozenset({"Q4_K", "Q6_K"}),
    )  # fmt: skip
    yield Needs(
        frozenset({Product(("Q4_K", "Q6_K"), 1024)}), mx.bfloat16, mx.bfloat16, num_heads=16,
        num_kv_heads=2, head_size=64, value_size=64, block_size=16,
    )  # fmt: skip
    yield Needs(
        frozenset({Product(("Q8_0",), 1024)}), mx.float32, mx.float32, num_heads=4,
        num_kv_heads=4, head_size=80, value_size=80, block_size=32,
    )  # fmt: skip


def check_all(gpu: Gpu) -> int:
    """Compares every variant with its definition, as the product does at first use on a Mac."""
    results = [result for need in needs() for result in self_check.check_kernels(need)]
    wrong = [result for result in results if result.reason]
    for result in wrong:
        print(f"wrong: {result.kernel}, {result.variant}: {result.reason}")
    print(f"{len(results) - len(wrong)} of {len(results)} checks passed")
    gpu.launches.clear()
    return len(wrong)


def time_all(gpu: Gpu, chosen: list[Case]) -> Iterator[Figure]:
    """Prints the table as it grows."""
    peak = timing.copy_bandwidth(gpu.cupy)
    print(f"copy bandwidth {peak / 1e9:.0f} GB/s, read and written bytes counted")
    for num_bytes in (16 << 20, 32 << 20):
        rate = timing.copy_bandwidth(gpu.cupy, num_bytes)
        print(f"  in copies of {num_bytes >> 20} MiB {rate / 1e9:.0f} GB/s")
    for case in chosen:
        figure = time_case(gpu, case, peak)
        bar = f" of {figure.least_share:.0%}" if figure.least_share else ""
        print(
            f"{figure.name:18} {figure.shape:34} {figure.seconds * 1e6:8.1f} us "
            f"{figure.gigabytes_s:6.0f} GB/s {figure.share:5.0%}{bar}"
            f"{'' if figure.error <= MOST_ERROR else f' WRONG by {figure.error:.1e}'}",
            flush=True,
        )
        yield figure


def compare_rows(figures: list[Figure]) -> None:
    """Prints what eight rows cost beside one."""
    one_row = {
        (f.name.split()[0], f.shape): f.seconds for f in figures if f.name.endswith(" 1 row")
    }
    for f in figures:
        alone = one_row.get((f.name.split()[0], f.shape))
        if f.name.endswith(" 8 rows") and alone:
            ratio = f.seconds / alone
            print(f"{f.name}, {f.shape}: {ratio:.2f} times one row (bar {MOST_8_ROWS})")


def time_case(gpu: Gpu, case: Case, peak: float) -> Figure:
    """All sets of inputs in turn; their results are compared first."""
    launches, error = run_case(gpu, case)
    num_sets = len(case.calls)
    took = timing.seconds(gpu.cupy, [x.repeat for x in launches], max(1, 48 // num_sets)) / num_sets
    rate = case.num_bytes / took
    return Figure(
        case.name, case.shape, took, rate / 1e9, rate / peak, case.least_share, error,
        launches[0].resources,
    )  # fmt: skip


def run_case(gpu: Gpu, case: Case) -> tuple[list[Launch], float]:
    """The launches of all calls, and the largest error relative to the largest result."""
    gpu.launches.clear()
    fence.record(mx.zeros((8,)))
    error = 0.0
    for call in case.calls:
        actual, expected = (x.astype(mx.float32) for x in call())
        error = max(error, float(mx.abs(actual - expected).max() / mx.abs(expected).max()))
    return list(gpu.launches), error


def compile_all(gpu: Gpu, chosen: list[Case]) -> None:
    """Compiles what the checks and cases launch, and prints what each variant takes."""
    with gpu.replace_metal():
        for need in needs():
            for _, _, run in checks(need):
                run()
        for case in chosen:
            case.calls[0]()
    seen: dict[str, None] = {}
    for launch in gpu.launches:
        variant = ", ".join(f"{k}={_short(v)}" for k, v in launch.template.items())
        seen.setdefault(f"{launch.name}<{variant}>: {launch.resources}")
    print("\n".join(seen))


def _short(value: Any) -> str:
    return str(value).removeprefix("mlx.core.")


if __name__ == "__main__":
    main()

"""How long `localllm list` takes with many models: start-up and listing, each run a process.

    scripts/bench_library.py [--models 1000]

Prints medians and the share of the goal (0.2 s with 1,000 models). Processor time, unlike the
clock, hardly depends on what else the machine does.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models.name import ModelName  # noqa: E402
from models.store.library import Library  # noqa: E402
from models.store.manifest import Details, Layer, Manifest  # noqa: E402

GOAL_S = 0.2


def main() -> None:
    """Fill a library, list it some times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=21)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        fill(Library(home / "models"), asked.models)
        environment = os.environ | {"LOCALLLM_HOME": str(home)}
        empty = os.environ | {"LOCALLLM_HOME": str(home / "empty")}
        full = [seconds(environment, asked.models) for _ in range(asked.runs)]
        bare = [seconds(empty, 0) for _ in range(asked.runs)]
    print(f"localllm list, {asked.runs} processes, medians")
    for label, runs in ((f"{asked.models} models", full), ("no models", bare)):
        clock_s, processor_s = (median(column) for column in zip(*runs, strict=True))
        fastest_s = min(run[0] for run in runs)
        print(
            f"{label:12} {clock_s:.3f} s by the clock (fastest {fastest_s:.3f}), "
            f"{processor_s:.3f} s of a processor; of the goal of {GOAL_S} s: "
            f"{clock_s / GOAL_S:.2f}, {processor_s / GOAL_S:.2f}"
        )


def fill(library: Library, count: int) -> None:
    """Models of one shared content, under a thousand names of the usual kinds."""
    digest, size_bytes = library.blobs.write([b"GGUF" + bytes(1000)])
    for number in range(count):
        text = f"hf.co/org-{number % 40}/Model-{number}-GGUF:Q4_K_M" if number % 2 else f"m{number}"
        name = ModelName.parse(text)
        details = Details("llama", "8.03B", "Q4_K_M", 131_072, 4096, ("completion", "tools"))
        library.write(
            Manifest(
                name.display,
                "gguf",
                (Layer("model", digest, size_bytes, "model.gguf"),),
                details,
            )
        )


def seconds(environment: dict[str, str], expected: int) -> tuple[float, float]:
    """One run, from the start of the process to its end: by the clock, and of processors."""
    start_s, before_s = time.perf_counter(), processor_s()
    command = [sys.executable, str(ROOT / "localllm.py"), "list"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    took_s = time.perf_counter() - start_s
    assert len(done.stdout.splitlines()) >= 1 + expected
    return took_s, processor_s() - before_s


def processor_s() -> float:
    """What all processes that this one started and waited for have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

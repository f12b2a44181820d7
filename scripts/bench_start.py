"""Time from the command to its first byte: beside an empty Python, and against our own limits.

An empty interpreter is what no Python program can start faster than. The limits are 0.3 s for
an answer that needs no model and 2 s for the first token of the bundled one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCALLLM = [sys.executable, "-m", "localllm"]
QUESTION = ["run", "pocket", "What can you do?"]
PORT = 11987
FAST_LIMIT_S, TOKEN_LIMIT_S = 0.3, 2.0


def first_byte_s(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1), command
        elapsed_s = time.perf_counter() - start
        process.stdout.read()
    return elapsed_s


def serve(environment: dict[str, str]) -> subprocess.Popen[str]:
    daemon = subprocess.Popen(
        [*LOCALLLM, "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment, cwd=ROOT, text=True,
    )  # fmt: skip
    while subprocess.run([*LOCALLLM, "ps"], env=environment, capture_output=True, check=False,
                         cwd=ROOT).returncode:  # fmt: skip
        assert daemon.poll() is None, "the daemon ended"
    return daemon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = os.environ | {"LOCALLLM_HOME": str(home)}
        warm = environment | {"LOCALLLM_HOST": f"127.0.0.1:{PORT}"}
        daemon = serve(warm)
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        first_byte_s([*LOCALLLM, *QUESTION], warm)
        cases = {
            "empty Python": ([sys.executable, "-c", "print(1)"], environment, FAST_LIMIT_S),
            "--version": ([*LOCALLLM, "--version"], environment, FAST_LIMIT_S),
            "list": ([*LOCALLLM, "list"], environment, FAST_LIMIT_S),
            "run pocket, cold": ([*LOCALLLM, *QUESTION], environment, TOKEN_LIMIT_S),
            "run pocket, daemon up": ([*LOCALLLM, *QUESTION], warm, FAST_LIMIT_S),
        }
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(repeats):
            for name, (command, variables, _) in cases.items():
                seconds[name].append(first_byte_s(command, variables))
    floor_s = statistics.median(seconds["empty Python"])
    for name, (_, _, limit_s) in cases.items():
        median_s = statistics.median(seconds[name])
        print(f"{name:<22} {median_s:6.3f} s  {median_s / floor_s:5.1f} x empty Python  "
              f"{median_s / limit_s:5.2f} of {limit_s} s")  # fmt: skip


if __name__ == "__main__":
    main()

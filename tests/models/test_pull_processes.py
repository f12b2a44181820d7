"""Pulling in processes that are killed or work at once."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from models.name import ModelName
from models.store.library import Library
from tests.models import gguf_writer as w
from tests.models.hub import FakeHub
from tests.models.making import check_integrity
from tests.models.pulling import NAME, REPO, ROOT, model, served, stored

PULL = """
import sys
from pathlib import Path
from models.name import ModelName
from models.hub.pull import pull
from models.store.library import Library
import models.hub.download
models.hub.download.SEGMENT_BYTES = int(sys.argv[4])
for _ in pull(ModelName.parse(sys.argv[2]), Library(Path(sys.argv[1])), endpoint=sys.argv[3]):
    pass
"""


def spawn(hub: FakeHub, library: Library, segment_bytes: int) -> "subprocess.Popen[bytes]":
    arguments = [str(library.root), NAME, hub.endpoint, str(segment_bytes)]
    return subprocess.Popen(
        [sys.executable, "-c", PULL, *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_CACHE": str(library.root / "hf"), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )


def kill_and_resume(hub: FakeHub, library: Library, num_kills: int, size_bytes: int) -> None:
    """Kill -9 pulls after a random number of further bytes; each time one ends, begin again.

    Per kill, four connections may each lose the piece in hand and what their socket held.
    """
    rng = random.Random(11)
    content = model(size_bytes)
    hub.add(REPO, {"Tiny-Q8_0.gguf": content})
    hub.bytes_per_s = 6_000_000  # slower than any reader: what was sent and lost was in its hands
    killed, num_whole = 0, 0
    while killed < num_kills or library.list() == []:
        process = spawn(hub, library, size_bytes // 3)
        if killed < num_kills:
            target = served(hub) + rng.randrange(1, size_bytes // 2)
            while served(hub) < target and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), errors.decode()
        killed += process.returncode == -signal.SIGKILL
        check_integrity(library, may_orphan=True)
        if library.list():
            assert stored(library) == content
            num_whole += 1
            if killed < num_kills:
                library.remove(ModelName.parse(NAME))
    wasted_bytes = served(hub) - num_whole * len(content)
    assert 0 <= wasted_bytes < num_kills * 4 * 256 * 1024
    check_integrity(library)


def test_pulls_killed_at_random_bytes_end_bit_exact(hub: FakeHub, library: Library) -> None:
    kill_and_resume(hub, library, num_kills=6, size_bytes=6_000_000)


@pytest.mark.slow
def test_two_hundred_killed_pulls_end_bit_exact(hub: FakeHub, library: Library) -> None:
    kill_and_resume(hub, library, num_kills=200, size_bytes=6_000_000)


CHURN = """
import random, sys, time
from pathlib import Path
from models.errors import NotFound
from models.name import ModelName
from models.hub.pull import pull
from models.store.library import Library
library, rng, end = Library(Path(sys.argv[1])), random.Random(int(sys.argv[3])), float(sys.argv[4])
end += time.monotonic()
while time.monotonic() < end:
    name = ModelName.parse(f"org/m{rng.randrange(3)}")
    act = rng.randrange(6)
    try:
        if act <= 2:
            for event in pull(name, library, endpoint=sys.argv[2]):
                if rng.random() < 0.02:
                    break
        elif act == 3:
            library.remove(name)
        elif act == 4:
            library.copy(name, ModelName.parse(f"c{rng.randrange(3)}"))
        else:
            library.prune()
    except NotFound:
        pass
    for manifest in library.list():
        assert manifest.layers
"""


def churn(hub: FakeHub, library: Library, num_processes: int, seconds: float) -> None:
    shared, parts = model(seed=1), [model(200_000, seed=index) for index in range(3)]
    for index, part in enumerate(parts):
        shards = [part, shared]
        hub.add(f"org/m{index}", {
            f"m-Q8_0-{at + 1:05d}-of-00002.gguf": w.model_bytes(
                {"split.no": at, "split.count": 2} | (w.LLAMA if at == 0 else {}),
                {f"t{at}": ("Q8_0", (len(raw) // 34, 32))},
                seed=index if at == 0 else 9,
            )
            for at, raw in enumerate(shards)
        })  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CHURN, str(library.root), hub.endpoint, str(seed), str(seconds)],
            cwd=ROOT,
            env={**os.environ, "HF_HUB_CACHE": str(library.root / "hf"), "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        for seed in range(num_processes)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * num_processes, errors
    library.prune()
    check_integrity(library)


def test_processes_that_pull_copy_and_remove_at_once_leave_a_consistent_library(
    hub: FakeHub, library: Library
) -> None:
    churn(hub, library, num_processes=3, seconds=2.0)


@pytest.mark.slow
def test_six_processes_for_a_minute_leave_a_consistent_library(
    hub: FakeHub, library: Library
) -> None:
    churn(hub, library, num_processes=6, seconds=60.0)

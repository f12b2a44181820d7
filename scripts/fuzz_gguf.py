"""Mutates the headers of GGUF files and opens what comes of them, as far as it can be opened.

    .venv/bin/python scripts/fuzz_gguf.py [FILE.gguf ...] [--mutations N] [--load] [--seed N]

Without files: the tiny models of tests/golden/architectures. Each mutation must be read or refused
with a UserError, within `--seconds`, and with at most 64 MB above its size. With --load, what can
be read is also made into a network, a tokenizer and a template. Prints figures; ends with 1 if one
failed.
"""

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.errors import UserError  # noqa: E402
from models.formats.gguf import read_gguf  # noqa: E402
from models.formats.gguf_header import parse_header  # noqa: E402
from models.formats.gguf_reader import MAX_OVERHEAD_BYTES  # noqa: E402

EXTREMES = (0, 1, 2, 3, 7, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)


class Outcome(NamedTuple):
    """How one mutation ended."""

    kind: str
    """"read", "refused", or what was raised."""
    seconds: float
    overhead_bytes: int


class Original(NamedTuple):
    """A good file."""

    raw: bytes
    size: int
    """The bytes before the tensor data."""
    numbers: list[slice]
    """Where metadata values of up to eight bytes lie."""


def read_original(raw: bytes) -> Original:
    """What mutations need to know of a file."""
    header = parse_header(raw, "file")
    size = min((tensor.start for tensor in header.tensors.values()), default=len(raw))
    spans = [slice(span.start + 4, span.stop) for span in header.entries.values()]
    return Original(raw, size, [span for span in spans if span.stop - span.start <= 8])


def mutate(original: Original, rng: random.Random) -> bytes:
    """One to four changes before the tensor data: bits, bytes, numbers, pieces."""
    raw, size, numbers = original
    changed = bytearray(raw)
    if numbers and rng.random() < 0.3:
        span = rng.choice(numbers)
        width = span.stop - span.start
        changed[span] = (rng.choice(EXTREMES) % (1 << 8 * width)).to_bytes(width, "little")
        return bytes(changed)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(min(size, len(changed)))
        match rng.randrange(6):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                changed[place] = rng.randrange(256)
            case 2:
                width = rng.choice((1, 2, 4, 8))
                value = rng.choice(EXTREMES) % (1 << 8 * width)
                changed[place : place + width] = value.to_bytes(width, "little")
            case 3:
                del changed[place : place + rng.randrange(1, 17)]
            case 4:
                changed[place:place] = rng.randbytes(rng.randrange(1, 17))
            case _:
                other = rng.randrange(size)
                length = rng.randrange(1, 33)
                changed[place : place + length] = raw[other : other + length]
    return bytes(changed)


def try_opening(path: Path, open_file: Callable[[Path], object], max_seconds: int) -> Outcome:
    """Open one file under a clock and a count of bytes."""
    tracemalloc.reset_peak()
    held, _ = tracemalloc.get_traced_memory()
    started = time.perf_counter()
    signal.alarm(max_seconds)
    try:
        open_file(path)
        kind = "read"
    except UserError:
        kind = "refused"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a result here
        kind = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    peak = tracemalloc.get_traced_memory()[1] - held
    return Outcome(kind, time.perf_counter() - started, peak - path.stat().st_size)


def load(path: Path) -> object:
    """The network with its weights, the tokenizer and the template."""
    from engine.network_loading import load_network
    from models.resolve import resolve_path

    return load_network(resolve_path(path))


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("too slow")


def main() -> None:
    """Mutate, count, say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10, help="for one file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load", action="store_true")
    asked = parser.parse_args()
    golden = ROOT / "tests" / "golden" / "architectures"
    paths = asked.files or sorted(golden.glob("*.gguf"))
    originals = [read_original(path.read_bytes()) for path in paths]
    rng = random.Random(asked.seed)
    open_file = load if asked.load else read_gguf
    signal.signal(signal.SIGALRM, _too_slow)
    tracemalloc.start()
    kinds: Counter[str] = Counter()
    slowest = largest = 0.0
    open_file(paths[0])  # imports take their time once
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.gguf"
        for number in range(asked.mutations):
            which = rng.randrange(len(originals))
            path.write_bytes(mutate(originals[which], rng))
            outcome = try_opening(path, open_file, asked.seconds)
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.overhead_bytes)
            kinds[outcome.kind] += 1
            if (
                outcome.kind not in ("read", "refused")
                or outcome.overhead_bytes > MAX_OVERHEAD_BYTES
            ):
                print(f"mutation {number}, of {paths[which].name}: {outcome}", flush=True)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    failed = sum(kinds.values()) - kinds["read"] - kinds["refused"]
    print(
        f"{asked.mutations} mutations in {seconds:.0f} s: {kinds['read']} read, "
        f"{kinds['refused']} refused, {failed} failed; slowest {slowest:.2f} s, "
        f"at most {largest / 2**20:.1f} MB above the file, process {peak} MB"
    )
    sys.exit(1 if failed or largest > MAX_OVERHEAD_BYTES else 0)


if __name__ == "__main__":
    main()

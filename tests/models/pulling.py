"""Pulls from the Hub stand-in, and asks what came of them."""

from pathlib import Path

from models.hub.pull import PullProgress, pull
from models.name import ModelName
from models.resolve import resolve
from models.store.library import Library
from tests.models import gguf_writer as w
from tests.models.hub import FakeHub, Fault

ROOT = Path(__file__).resolve().parents[2]
REPO = "org/Tiny-GGUF"
NAME = "hf.co/org/Tiny-GGUF:Q8_0"


def model(num_bytes: int = 40_000, seed: int = 0) -> bytes:
    shape = (num_bytes // 34, 32)
    return w.model_bytes(w.LLAMA, {"token_embd.weight": ("Q8_0", shape)}, seed=seed)


def run(hub: FakeHub, library: Library, name: str = NAME, **options: str) -> list[PullProgress]:
    found = list(pull(ModelName.parse(name), library, endpoint=hub.endpoint, **options))
    assert found[-1].status == "success"
    return found


def stored(library: Library, name: str = NAME) -> bytes:
    return resolve(name, library).paths[0].read_bytes()


def served(hub: FakeHub) -> int:
    return sum(count for path, count in hub.served_bytes.items() if path.endswith(".gguf"))


def cancel_after(hub: FakeHub, library: Library, num_bytes: int) -> None:
    """Start a pull, close it while the server hangs after `num_bytes`."""
    hang = Fault("/cdn/", "hang", after_bytes=num_bytes)
    hub.faults.append(hang)
    iterator = pull(ModelName.parse(NAME), library, endpoint=hub.endpoint)
    for event in iterator:
        if event.completed_bytes == num_bytes:
            hang.released.set()
            break
    iterator.close()
    hub.faults.clear()

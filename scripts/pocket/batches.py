"""Endless training batches: dialogues of the mix, tokenized, grouped by length.

Each row is one dialogue, padded to its group's length, so that attention never crosses dialogues
and positions start at zero. There are few shapes, because every fresh one costs the CPU's matrix
library a compilation. The stream depends on the seed only.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from scripts.pocket.mix import draw_training_dialogue
from scripts.pocket.template import render_dialogue
from scripts.pocket.tokenizer import END

DIALOGUES_PER_ROUND = 4096
BATCHES_AHEAD = 8
LENGTHS = (
    *range(16, 64, 4),
    *range(64, 128, 8),
    *range(128, 256, 16),
    256,
    288,
    320,
    384,
    512,
    768,
    1024,
    2048,
)


Row = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Batch:
    """Token ids and the marks of the tokens to be learned, both [rows, length]."""

    tokens: npt.NDArray[np.int64]
    is_target: npt.NDArray[np.bool_]


def mark_targets(
    ids: npt.NDArray[np.int64], assistant: int, end: int, opens: int
) -> npt.NDArray[np.bool_]:
    """True from after each <|assistant|> to its <|end|>; a <think> opened by the prompt is not."""
    is_target = np.zeros(len(ids), dtype=np.bool_)
    inside = False
    for i, token in enumerate(ids):
        is_target[i] = inside and not (token == opens and ids[i - 1] == assistant)
        inside = token == assistant or (inside and token != end)
    return is_target


def token_id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    assert found is not None, token
    return found


def make_round(rng: random.Random, tokenizer: Tokenizer) -> list[Row]:
    texts = [render_dialogue(draw_training_dialogue(rng)) for _ in range(DIALOGUES_PER_ROUND)]
    assistant, end, opens = (token_id(tokenizer, t) for t in ("<|assistant|>", END, "<think>"))
    rows = []
    for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
        ids = np.array(encoding.ids, dtype=np.int64)
        if len(ids) <= LENGTHS[-1]:
            rows.append((ids, mark_targets(ids, assistant, end, opens)))
    return rows


def stack(rows: list[Row], length: int) -> Batch:
    tokens = np.zeros((len(rows), length), dtype=np.int64)
    is_target = np.zeros((len(rows), length), dtype=np.bool_)
    for i, (ids, marks) in enumerate(rows):
        tokens[i, : len(ids)] = ids
        is_target[i, : len(ids)] = marks
    return Batch(tokens, is_target)


def batches(tokenizer: Tokenizer, seed: int, batch_tokens: int) -> Iterator[Batch]:
    """Batches of one length each and about `batch_tokens` tokens, in random order."""
    waiting: dict[int, list[Row]] = defaultdict(list)
    for number in itertools.count():
        rng = random.Random(f"{seed}/{number}")
        for row in make_round(rng, tokenizer):
            waiting[next(n for n in LENGTHS if n >= len(row[0]))].append(row)
        ready = []
        for length, rows in waiting.items():
            count = batch_tokens // length
            while len(rows) >= count:
                ready.append(stack(rows[:count], length))
                del rows[:count]
        rng.shuffle(ready)
        yield from ready


class BatchStream(IterableDataset[Batch]):
    """`batches` for a loader's processes: each draws its own dialogues."""

    def __init__(self, tokenizer: Tokenizer, seed: int, batch_tokens: int) -> None:
        self.tokenizer, self.seed, self.batch_tokens = tokenizer, seed, batch_tokens

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        assert worker is not None
        return batches(self.tokenizer, self.seed + worker.id, self.batch_tokens)


def batches_ahead(
    tokenizer: Tokenizer, seed: int, batch_tokens: int, num_processes: int
) -> Iterator[Batch]:
    """Batches drawn by processes of their own, for a device that is faster than one of them."""
    stream = BatchStream(tokenizer, seed, batch_tokens)
    return iter(
        DataLoader(
            stream, batch_size=None, num_workers=num_processes, prefetch_factor=BATCHES_AHEAD
        )
    )

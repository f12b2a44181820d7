"""How far one model's predictions are from another's, over the same text.

The reference runs first and its log-probabilities wait on disk: one model at a time is in memory.
"""

import gc
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from engine.network_loading import LoadedNetwork, load_network
from models.errors import InvalidInput
from models.files import ModelFiles

Rows = np.ndarray[tuple[int, int], np.dtype[np.float32]]

DEFAULT_TEXT = (Path(__file__).parent / "divergence.txt").read_text(encoding="utf-8")
"""Of all sorts: tales, facts, a letter, code."""


@dataclass(frozen=True)
class Divergence:
    """Kullback-Leibler divergence of the model from the reference, in nats a token."""

    reference: str
    num_tokens: int
    kl_mean: float
    kl_99: float
    """Ninety-nine of a hundred tokens are closer."""
    kl_max: float
    same_top: float
    """Share of the tokens for which both have the same favourite."""
    perplexity: float
    reference_perplexity: float


def measure_divergence(
    files: ModelFiles, reference: ModelFiles, text: str = DEFAULT_TEXT, window_tokens: int = 128
) -> Divergence:
    """Both models over `text`, in windows that do not overlap.

    Raises:
        InvalidInput: the models' tokens differ, or the text is too short.
    """
    with tempfile.TemporaryDirectory(prefix="localllm-verify-") as folder:
        loaded = load_network(reference)
        windows = _windows(loaded, text, window_tokens)
        paths = [Path(folder) / f"{i}.npy" for i in range(len(windows))]
        for path, window in zip(paths, windows, strict=True):
            np.save(path, _logprobs(loaded, window))
        del loaded
        gc.collect()
        mx.clear_cache()
        model = load_network(files)
        if _windows(model, text, window_tokens) != windows:
            raise InvalidInput(
                f"{reference.name} has other tokens than {files.name}",
                hint="the reference must be the same model in another format",
            )
        rows = [
            (_logprobs(model, window), np.load(path), window)
            for window, path in zip(windows, paths, strict=True)
        ]
    return _summary(reference.name, iter(rows))


def _windows(loaded: LoadedNetwork, text: str, window_tokens: int) -> list[list[int]]:
    token_ids = loaded.tokenizer.encode(text, add_special=True)
    if len(token_ids) < 8:
        raise InvalidInput(f"the text has {len(token_ids)} tokens; at least 8 are needed")
    starts = range(0, len(token_ids), window_tokens)
    windows = [token_ids[start : start + window_tokens] for start in starts]
    return [window for window in windows if len(window) > 1]


def _logprobs(loaded: LoadedNetwork, window: list[int]) -> Rows:
    """float32 [T, V]"""
    loaded.network.eval()
    logits = loaded.network(mx.array([window], mx.int32))[0].astype(mx.float32)
    rows = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return np.array(rows)


def _summary(name: str, windows: Iterator[tuple[Rows, Rows, list[int]]]) -> Divergence:
    divergences: list[float] = []
    same: list[bool] = []
    losses: list[tuple[float, float]] = []
    for rows, expected, window in windows:
        width = min(rows.shape[1], expected.shape[1])
        ours, theirs = rows[:, :width], expected[:, :width]
        divergences += (np.exp(theirs) * (theirs - ours)).sum(axis=1).tolist()
        same += (ours.argmax(axis=1) == theirs.argmax(axis=1)).tolist()
        places = np.arange(len(window) - 1), np.array(window[1:])
        losses += zip((-ours[places]).tolist(), (-theirs[places]).tolist(), strict=True)
    return Divergence(
        reference=name,
        num_tokens=len(divergences),
        kl_mean=math.fsum(divergences) / len(divergences),
        kl_99=float(np.quantile(divergences, 0.99)),
        kl_max=max(divergences),
        same_top=sum(same) / len(same),
        perplexity=math.exp(math.fsum(ours for ours, _ in losses) / len(losses)),
        reference_perplexity=math.exp(math.fsum(theirs for _, theirs in losses) / len(losses)),
    )

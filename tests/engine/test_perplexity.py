"""Perplexity over windows equals the plain sum over the plain network's log-probabilities."""

import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_model import WIDE, load, write_model

from engine.perplexity import measure_perplexity
from models.errors import InvalidInput

TEXT = " ".join(f"w{2 + (i * i + 3 * i) % 61}" for i in range(75))


def test_the_second_half_of_each_window_counts(tmp_path: Path) -> None:
    network = write_model(tmp_path / "model", WIDE, None, 0)
    model = load(tmp_path / "model", tmp_path)
    token_ids = model.tokenizer.encode(TEXT, add_special=True)
    found = measure_perplexity(model, TEXT, 16)
    losses = []
    for i in range(len(token_ids) // 16):
        window = token_ids[16 * i : 16 * i + 16]
        logits = np.array(network(mx.array([window]))[0].astype(mx.float32), np.float64)
        scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses += [-scores[j, window[j + 1]] for j in range(7, 15)]
    assert (found.num_windows, found.num_tokens) == (len(token_ids) // 16, len(losses))
    assert math.isclose(found.perplexity, math.exp(np.mean(losses)), rel_tol=0.01)


def test_a_text_shorter_than_a_window_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model", WIDE, None, 0)
    model = load(tmp_path / "model", tmp_path)
    with pytest.raises(InvalidInput, match="3 tokens, fewer than one window of 16"):
        measure_perplexity(model, "w5 w6 w7", 16)
    with pytest.raises(InvalidInput, match="between 4 and 511"):
        measure_perplexity(model, TEXT, 4000)

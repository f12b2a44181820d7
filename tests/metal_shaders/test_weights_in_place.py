"""Loading a GGUF file on Metal: which weights stay where they are mapped."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from engine.network_loading import load_network
from metal_kernels.metal import mapping
from models.files import ModelFiles
from models.formats.gguf import read_gguf

POCKET = Path(__file__).parents[2] / "models" / "pocket" / "pocket.gguf"


@pytest.mark.usefixtures("metal_backend", "simulate")
def test_matrices_are_bound_in_their_file_unless_their_rows_change_places(monkeypatch):
    """As on a Mac; here the pages that would be bound are copied after they were counted."""
    bound: list[np.ndarray] = []

    def bind(blocks: np.ndarray) -> mx.array:
        if mapping.mapping_of(blocks) is not None:
            bound.append(blocks)
        return mx.array(blocks)

    monkeypatch.setattr(mapping, "bind", bind)
    load_network(ModelFiles("pocket", "gguf", (POCKET,), None, digest="0" * 64))
    matrices = {
        name: tensor.num_bytes
        for name, tensor in read_gguf(POCKET).tensors.items()
        if len(tensor.shape) == 2
    }
    moved = {name for name in matrices if name.endswith(("attn_q.weight", "attn_k.weight"))}
    kept = [num_bytes for name, num_bytes in matrices.items() if name not in moved]
    assert sorted(blocks.nbytes for blocks in bound) == sorted(kept)
    assert sum(kept) > 0.85 * sum(matrices.values())

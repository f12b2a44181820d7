"""Safetensors files as we write them, read back by us and by MLX."""

from pathlib import Path

import mlx.core as mx
import numpy as np

from models.formats.safetensors import open_safetensors
from models.formats.safetensors_writer import NewStoredTensor, safetensors_bytes, safetensors_pieces

TENSORS = (
    NewStoredTensor("a.weight", "U32", (3, 5)),
    NewStoredTensor("a.scales", "BF16", (3, 2)),
    NewStoredTensor("norm", "F32", (7,)),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    raw = {tensor.name: bytes(range(tensor.num_bytes)) for tensor in TENSORS}
    pieces = safetensors_pieces(TENSORS, {"format": "mlx"}, lambda tensor: [raw[tensor.name]])
    path.write_bytes(b"".join(pieces))
    assert path.stat().st_size == safetensors_bytes(TENSORS, {"format": "mlx"})
    files = open_safetensors(path)
    assert dict(files.metadata) == {"format": "mlx"}
    for tensor in TENSORS:
        assert files.tensors[tensor.name].shape == tensor.shape
        assert files.tensor_bytes(tensor.name).tobytes() == raw[tensor.name]
    arrays = mx.load(str(path))
    assert isinstance(arrays, dict)
    assert np.array(arrays["norm"]).tobytes() == raw["norm"]

"""GGUF files as we write them, read back by us and by the reference reader."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from models.formats.gguf import read_gguf
from models.formats.gguf_reader import Value
from models.formats.gguf_writer import NewTensor, encode_value, gguf_bytes, gguf_pieces

VALUES: dict[str, Value] = {
    "general.architecture": "llama",
    "a.flag": True,
    "a.small": 7,
    "a.negative": -7,
    "a.large": 1 << 40,
    "a.number": 0.5,
    "a.text": "é\n",
    "a.texts": ["", "b", "ü"],
    "a.none": [],
    "a.floats": np.array([0.5, 1], np.float32),
    "a.integers": np.array([-1, 2], np.int32),
    "a.flags": np.array([True, False]),
}
TENSORS = (
    NewTensor("odd", "F32", (3,)),
    NewTensor("matrix", "Q8_0", (5, 64)),
    NewTensor("experts", "F16", (2, 3, 7)),
)


def blocks_of(tensor: NewTensor) -> bytes:
    return np.random.default_rng(len(tensor.name)).bytes(tensor.num_bytes)


def write(path: Path) -> Path:
    entries = {key: encode_value(value) for key, value in VALUES.items()}
    pieces = gguf_pieces(entries, TENSORS, lambda tensor: [blocks_of(tensor)])
    path.write_bytes(b"".join(pieces))
    assert path.stat().st_size == gguf_bytes(entries, TENSORS)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = read_gguf(write(tmp_path / "a.gguf"))
    assert file.metadata.keys() == VALUES.keys()
    for key, value in VALUES.items():
        np.testing.assert_array_equal(file.metadata[key], value)
    for tensor in TENSORS:
        assert file.tensors[tensor.name].shape == tensor.shape
        assert file.tensor_bytes(tensor.name).tobytes() == blocks_of(tensor)


def test_the_reference_reader_agrees(tmp_path: Path) -> None:
    reader = gguf.GGUFReader(write(tmp_path / "a.gguf"))
    assert reader.fields["a.texts"].contents() == ["", "b", "ü"]
    assert reader.fields["a.negative"].contents() == -7
    assert [tensor.name for tensor in reader.tensors] == [tensor.name for tensor in TENSORS]
    for tensor in reader.tensors:
        assert tensor.data_offset % 32 == 0


def test_metadata_is_copied_byte_for_byte(tmp_path: Path) -> None:
    file = read_gguf(write(tmp_path / "a.gguf"))
    for key, value in VALUES.items():
        assert file.metadata_bytes(key) == encode_value(value)


def test_a_tensor_that_comes_out_short_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="odd"):
        list(gguf_pieces({}, TENSORS, lambda _: [b""]))
    assert not list(tmp_path.iterdir())

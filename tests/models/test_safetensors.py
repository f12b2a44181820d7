"""safetensors reading: agrees with the reference reader, refuses what does not add up."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.errors import InvalidModelFile, NotFound
from models.formats.safetensors import open_safetensors, parse_header
from tests.models.safetensors_writer import file_bytes, write_mlx


def entry(**changed: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changed


GOOD = file_bytes({"a": entry(), "b": entry(data_offsets=[16, 32])}, bytes(32))

MALFORMED = {
    "empty header": (b"", "header of 0 bytes"),
    "seven bytes": (b"\1" + bytes(6), "the file has 7"),
    "header past end": (file_bytes({}, header_bytes=100), "header of 100 bytes"),
    "header huge": (file_bytes({}, header_bytes=2**63), "header of 9223372036854775808"),
    "not JSON": (file_bytes(b"{oops"), "not valid JSON"),
    "not UTF-8": (file_bytes(b'{"\xff":1}'), "not valid JSON"),
    "deep JSON": (file_bytes(b"[" * 200_000), "not valid JSON"),
    "a list": (file_bytes([]), "must be a JSON object"),
    "key twice": (file_bytes(b'{"a":1,"a":1}'), "a key occurs twice"),
    "metadata a number": (file_bytes({"__metadata__": 1}), "strings to strings"),
    "metadata of numbers": (file_bytes({"__metadata__": {"a": 1}}), "strings to strings"),
    "entry a number": (file_bytes({"a": 1}), "needs dtype, shape"),
    "no shape": (file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 0]}}), "needs dtype"),
    "three offsets": (file_bytes({"a": entry(data_offsets=[0, 1, 2])}), "two data_offsets"),
    "dtype unknown": (file_bytes({"a": entry(dtype="F31")}, bytes(16)), "has dtype 'F31'"),
    "dtype a list": (file_bytes({"a": entry(dtype=[])}, bytes(16)), r"has dtype \[\]"),
    "shape negative": (file_bytes({"a": entry(shape=[-2, -2])}, bytes(16)), "whole numbers"),
    "shape a float": (file_bytes({"a": entry(shape=[2.0, 2])}, bytes(16)), "whole numbers"),
    "shape true": (file_bytes({"a": entry(shape=[True])}, bytes(16)), "whole numbers"),
    "shape a string": (file_bytes({"a": entry(shape="22")}, bytes(16)), "whole numbers"),
    "shape overflows": (file_bytes({"a": entry(shape=[2**40, 2**40])}, bytes(16)), "takes"),
    "shape too long": (file_bytes({"a": entry(shape=[1] * 40)}, bytes(16)), "whole numbers"),
    "offsets backward": (file_bytes({"a": entry(data_offsets=[16, 0])}, bytes(16)), "takes 16"),
    "data short": (file_bytes({"a": entry()}, bytes(15)), "the file has"),
    "data long": (file_bytes({"a": entry()}, bytes(17)), "the file has"),
    "a gap": (file_bytes({"a": entry(data_offsets=[8, 24])}, bytes(24)), "expected"),
    "overlap": (file_bytes({"a": entry(), "b": entry()}, bytes(16)), "expected"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_by_name_and_reason(tmp_path: Path, case: str) -> None:
    raw, reason = MALFORMED[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw or b"\0" * 3)
    with pytest.raises(InvalidModelFile, match=reason) as caught:
        open_safetensors(path)
    assert str(path) in caught.value.message


def test_mutated_headers_are_read_or_refused() -> None:
    rng = random.Random(3)
    refused = 0
    for _ in range(5_000):
        raw = bytearray(GOOD)
        for _ in range(rng.choice((1, 1, 2, 6))):
            raw[rng.randrange(len(raw) - 30)] = rng.randrange(256)
        try:
            _, tensors = parse_header(bytes(raw), "mutated")
        except InvalidModelFile:
            refused += 1
            continue
        assert all(tensor.start + tensor.num_bytes <= len(raw) for tensor in tensors.values())
    assert refused > 1_000


def test_files_of_the_reference_writer_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {
        "a": rng.normal(size=(3, 5)).astype(np.float32),
        "b": rng.integers(0, 9, (4,)),
    }
    save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "np"})
    found = open_safetensors(tmp_path)
    assert found.metadata == {"format": "np"}
    for name, stored in arrays.items():
        assert found.tensors[name].shape == stored.shape
        assert found.tensor_bytes(name).tobytes() == stored.tobytes()


def test_an_index_binds_its_files_together(tmp_path: Path) -> None:
    found = open_safetensors(write_mlx(tmp_path, shards=3))
    assert len(found.paths) == 3
    assert len(found.tensors) == 12


def test_an_index_that_disagrees_with_its_files_is_refused(tmp_path: Path) -> None:
    write_mlx(tmp_path, shards=2)
    index = tmp_path / "model.safetensors.index.json"
    stored = json.loads(index.read_text())
    stored["weight_map"]["more"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(stored))
    with pytest.raises(InvalidModelFile, match="'more', which no file has"):
        open_safetensors(tmp_path)
    stored["weight_map"]["more"] = "../secret"
    index.write_text(json.dumps(stored))
    with pytest.raises(InvalidModelFile, match="weight_map"):
        open_safetensors(tmp_path)
    stored["weight_map"]["more"] = "gone.safetensors"
    index.write_text(json.dumps(stored))
    with pytest.raises(NotFound, match="1 of 3 files missing: gone"):
        open_safetensors(tmp_path)


def test_mlx_writes_null_where_there_is_no_metadata() -> None:
    metadata, tensors = parse_header(
        file_bytes({"__metadata__": None, "a": entry()}, bytes(16)), "f"
    )
    assert metadata == {}
    assert tensors["a"].shape == (2, 2)

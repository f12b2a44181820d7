"""GGUF reading: valid files say what was written, shards make one model."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from models.errors import InvalidModelFile, NotFound
from models.formats.ggml_types import BLOCK_FORMATS, FILE_TYPES
from models.formats.gguf import read_gguf
from tests.models import gguf_writer as w


def test_metadata_and_tensors_are_what_was_written(tmp_path: Path) -> None:
    file = read_gguf(w.write_llama(tmp_path / "tiny.gguf"))
    assert file.version == 3
    assert file.metadata["general.architecture"] == "llama"
    assert file.metadata["tokenizer.ggml.tokens"] == ["<s>", "</s>", "a", "é"]
    scores = file.metadata["tokenizer.ggml.scores"]
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
    assert scores.tolist() == [0, -1, -2, -3]
    assert {name: (info.quantization, info.shape) for name, info in file.tensors.items()} == {
        name: (quantization, shape) for name, (quantization, shape) in w.WEIGHTS.items()
    }


def test_tensor_bytes_are_rows_of_the_file(tmp_path: Path) -> None:
    path = w.write_llama(tmp_path / "tiny.gguf")
    ours, theirs = read_gguf(path), gguf.GGUFReader(path)
    for stored in theirs.tensors:
        rows = ours.tensor_bytes(stored.name)
        assert rows.tobytes() == stored.data.tobytes()
        assert rows.shape == (int(np.prod(stored.shape[1:])), rows.shape[1])
        assert not rows.flags.writeable
    assert ours.tensor_bytes("blk.0.attn_q.weight").shape == (16, 288)


def test_every_scalar_and_array_type_is_read(tmp_path: Path) -> None:
    cases = [
        (w.U8, 200), (w.I8, -5), (w.U16, 60_000), (w.I16, -3), (w.U32, 2**32 - 1),
        (w.I32, -(2**31)), (w.F32, 0.5), (w.BOOL, True), (w.U64, 2**64 - 1), (w.I64, -(2**63)),
        (w.F64, 1e300),
    ]  # fmt: skip
    entries = [w.entry(f"s{kind}", kind, w.scalar(kind, value)) for kind, value in cases]
    entries += [w.entry(f"a{kind}", w.ARRAY, w.array(kind, [value] * 3)) for kind, value in cases]
    nested = w.array(w.ARRAY, [w.array(w.STRING, ["x"]), w.array(w.U8, [1, 2])])
    entries.append(w.entry("nested", w.ARRAY, nested))
    path = tmp_path / "types.gguf"
    path.write_bytes(w.assemble(entries))
    metadata = read_gguf(path).metadata
    for kind, value in cases:
        assert metadata[f"s{kind}"] == value
        assert type(metadata[f"s{kind}"]) is type(value)
        assert np.asarray(metadata[f"a{kind}"]).tolist() == [value] * 3
    nested_value = metadata["nested"]
    assert isinstance(nested_value, list)
    assert nested_value[0] == ["x"]
    assert np.asarray(nested_value[1]).tolist() == [1, 2]


def test_version_2_and_other_alignments_are_read(tmp_path: Path) -> None:
    path = tmp_path / "v2.gguf"
    raw = bytearray(w.model_bytes({"general.alignment": 256}, w.WEIGHTS, alignment=256))
    raw[4] = 2
    path.write_bytes(raw)
    file = read_gguf(path)
    assert file.version == 2
    start = raw.index(file.tensor_bytes("token_embd.weight").tobytes())
    assert start % 256 == 0


def test_any_shard_opens_the_whole_model(tmp_path: Path) -> None:
    shards = w.write_shards(tmp_path)
    for shard in shards:
        file = read_gguf(shard)
        assert file.paths == tuple(shards)
        assert list(file.tensors) == ["blk.0.weight", "blk.1.weight", "blk.2.weight"]
        assert file.metadata["general.architecture"] == "llama"
        assert file.total_bytes == sum(path.stat().st_size for path in shards)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shards = w.write_shards(tmp_path)
    shards[1].unlink()
    with pytest.raises(NotFound, match=r"1 of 3 shards missing: tiny-00002-of-00003\.gguf"):
        read_gguf(shards[0])


def test_swapped_shards_are_refused(tmp_path: Path) -> None:
    first, second, _ = w.write_shards(tmp_path)
    aside = tmp_path / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    with pytest.raises(InvalidModelFile, match="says it is shard 1"):
        read_gguf(first)


def test_a_renamed_shard_is_refused(tmp_path: Path) -> None:
    shards = w.write_shards(tmp_path)
    with pytest.raises(InvalidModelFile, match=r"shard 0 \(from 0\) of 3"):
        read_gguf(shards[0].rename(tmp_path / "model.gguf"))


@pytest.mark.parametrize("name", ["m-00000-of-00002.gguf", "m-00003-of-00002.gguf"])
def test_impossible_shard_numbers_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidModelFile, match="does not exist"):
        read_gguf(tmp_path / name)


def test_missing_empty_and_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_gguf(tmp_path / "none.gguf")
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(InvalidModelFile, match="empty"):
        read_gguf(tmp_path / "empty.gguf")
    with pytest.raises(InvalidModelFile, match="directory"):
        read_gguf(tmp_path)


def test_the_format_tables_agree_with_ggufs() -> None:
    theirs = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    ours = {kind: (form.block_size, form.block_bytes) for kind, form in BLOCK_FORMATS.items()}
    assert {kind: theirs[kind] for kind in ours if kind in theirs} == {
        kind: sizes for kind, sizes in ours.items() if kind in theirs
    }
    assert all(BLOCK_FORMATS[kind].name == gguf.GGMLQuantizationType(kind).name for kind in theirs)
    for file_type in gguf.LlamaFileType:
        if file_type in FILE_TYPES:
            assert (
                file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_")
                == (FILE_TYPES[file_type])
            )

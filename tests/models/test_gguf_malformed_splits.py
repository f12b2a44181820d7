"""A sharded model whose parts are missing, doubled or disagree is refused, whichever is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import InvalidModelFile, NotFound, UserError
from models.formats.gguf import read_gguf
from tests.models import gguf_writer as w

Change = Callable[[list[Path]], object]


def rewrite(index: int, tensors: list[str] | None = None, **changed: Any) -> Change:
    """Write one of three shards anew with other metadata; None leaves a value out."""

    def change(shards: list[Path]) -> None:
        metadata: dict[str, Any] = {"no": index, "count": 3, "tensors_count": 3} | changed
        values = {
            f"split.{key.replace('_', '.')}": value
            for key, value in metadata.items()
            if value is not None
        }
        names = [f"blk.{index}.weight"] if tensors is None else tensors
        first = w.LLAMA if index == 0 else {}
        raw = w.model_bytes(first | values, dict.fromkeys(names, ("F16", (2, 4))))
        shards[index].write_bytes(raw)

    return change


def both(*changes: Change) -> Change:
    def change(shards: list[Path]) -> None:
        for each in changes:
            each(shards)

    return change


def cut(index: int, length: int) -> Change:
    return lambda shards: shards[index].write_bytes(shards[index].read_bytes()[:length])


def missing(index: int) -> Change:
    return lambda shards: shards[index].unlink()


def directory_instead(shards: list[Path]) -> None:
    shards[1].unlink()
    shards[1].mkdir()


MALFORMED: dict[str, tuple[Change, str]] = {
    "first missing": (missing(0), "1 of 3 shards missing"),
    "last missing": (missing(2), "1 of 3 shards missing"),
    "two missing": (both(missing(0), missing(1)), "2 of 3 shards missing"),
    "same part twice": (lambda s: s[2].write_bytes(s[1].read_bytes()), "shard 1 .* of 3"),
    "count differs": (rewrite(1, count=4), "shard 1 .from 0. of 4"),
    "count in all of them": (
        both(rewrite(0, count=2), rewrite(1, count=2), rewrite(2, count=2)),
        "shard 0 .from 0. of 2",
    ),
    "count 0": (rewrite(2, count=0), "shard 2 .from 0. of 0"),
    "count missing": (rewrite(1, count=None), "of 0"),
    "number missing": (rewrite(1, no=None), "shard 0"),
    "number beyond the count": (rewrite(1, no=3), "shard 3 .from 0. of 3"),
    "number huge": (rewrite(1, no=2**32 - 1), "shard 4294967295"),
    "number text": (rewrite(1, no="1"), "split.no is '1'"),
    "number a list": (rewrite(1, no=[1, 1]), "split.no is array"),
    "count a list": (rewrite(1, count=[3, 3]), "split.count is array"),
    "count true": (rewrite(1, count=True), "split.count is True"),
    "fewer tensors announced": (rewrite(0, tensors_count=2), "announces 2 tensors"),
    "more tensors announced": (rewrite(0, tensors_count=9), "announces 9 tensors"),
    "tensors announced as text": (rewrite(0, tensors_count="3"), "count is '3'"),
    "tensors announced as a list": (rewrite(0, tensors_count=[3, 3]), "count is array"),
    "tensor in two parts": (rewrite(2, ["blk.0.weight"]), "in an earlier shard as well"),
    "part without tensors": (rewrite(2, []), "announces 3 tensors, the shards have 2"),
    "part cut short": (cut(1, 100), "tiny-00002"),
    "part of one byte": (cut(2, 1), "not a GGUF file"),
    "part empty": (cut(1, 0), "the file is empty"),
    "part of another kind": (lambda s: s[1].write_bytes(b"PK\3\4" + bytes(99)), "not a GGUF file"),
    "part a directory": (directory_instead, "a directory"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_set_is_refused_whichever_part_is_opened(tmp_path: Path, case: str) -> None:
    change, reason = MALFORMED[case]
    shards = w.write_shards(tmp_path)
    change(shards)
    for shard in shards:
        if shard.is_file():
            with pytest.raises(UserError, match=reason) as caught:
                read_gguf(shard)
            assert isinstance(caught.value, InvalidModelFile | NotFound)
            assert "\n" not in caught.value.message

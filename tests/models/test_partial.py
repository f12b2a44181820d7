"""A file under way knows what it has, and forgets what it cannot trust."""

from pathlib import Path

import pytest

from models.hub.partial import PartialFile, count_completed, progress_path


def test_segments_are_filled_in_any_order_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "partial" / "x"
    content = bytes(range(25))
    file = PartialFile(path, 25, segment_bytes=10)
    assert file.num_segments == 3
    assert file.missing(2) == (20, 25)
    file.write(2, content[20:25])
    file.write(0, content[:4])
    file.close()
    assert count_completed(path) == 9
    again = PartialFile(path, 25, segment_bytes=10)
    assert again.resumed_bytes == 9
    assert [again.missing(index) for index in range(3)] == [(4, 10), (10, 20), (25, 25)]
    again.write(0, content[4:10])
    again.write(1, content[10:20])
    again.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["size", "segments", "cut", "count", "data", "gone"])
def test_a_progress_file_that_does_not_fit_starts_over(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x"
    file = PartialFile(path, 25, segment_bytes=10)
    file.write(0, b"0123456789")
    file.close()
    size_bytes, segment_bytes = 25, 10
    if damage == "size":
        size_bytes = 26
    elif damage == "segments":
        segment_bytes = 8
    elif damage == "cut":
        progress_path(path).write_bytes(progress_path(path).read_bytes()[:-3])
    elif damage == "count":
        raw = bytearray(progress_path(path).read_bytes())
        raw[16:24] = (11).to_bytes(8, "little")
        progress_path(path).write_bytes(raw)
    elif damage == "data":
        path.write_bytes(b"0123")
    else:
        path.unlink()
    again = PartialFile(path, size_bytes, segment_bytes)
    assert again.resumed_bytes == 0
    again.close()


def test_an_empty_file_is_complete_at_once(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "x", 0, segment_bytes=10)
    file.close()
    assert file.num_segments == 0
    assert (tmp_path / "x").read_bytes() == b""

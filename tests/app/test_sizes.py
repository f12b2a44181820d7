"""Sizes keep three digits."""

from app.sizes import format_bytes


def test_sizes_are_rounded() -> None:
    assert format_bytes(512) == "512 B"
    assert format_bytes(31_000_000) == "31 MB"
    assert format_bytes(999_900_000) == "1 GB"
    assert format_bytes(4_920_000_000) == "4.92 GB"

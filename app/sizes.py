"""Sizes in bytes as people read them."""

from collections.abc import Mapping
from typing import Any

from models.fit import cache_token_bytes, small_token_bytes


def format_bytes(num_bytes: float) -> str:
    """Three digits and a decimal unit.

    >>> format_bytes(4_920_000_000), format_bytes(37), format_bytes(12_300_000)
    ('4.92 GB', '37 B', '12.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def describe_cache(metadata: Mapping[str, Any]) -> str:
    """What keys and values take, by GGUF's keys: "f16 32.8 kB a token, q8_0 17.4 kB"; "" unknown.

    An upper bound: layers with a window, or without attention, count like the others.
    """
    token_bytes, small_bytes = cache_token_bytes(metadata), small_token_bytes(metadata)
    if not token_bytes:
        return ""
    small = f", q8_0 {format_bytes(small_bytes)}" if small_bytes else ""
    return f"f16 {format_bytes(token_bytes)} a token{small}"

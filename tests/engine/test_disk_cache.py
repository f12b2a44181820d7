"""Blocks on disk: exact or absent, and within their budget."""

import os
from pathlib import Path

import pytest

from engine.disk_cache import DiskCache, chain_key


def make_cache(path: Path, max_bytes: int = 10_000, fingerprint: str = "model") -> DiskCache:
    return DiskCache(path, fingerprint, max_bytes)


def only_file(path: Path) -> Path:
    (file,) = path.rglob("*.kv")
    return file


def test_a_block_comes_back_as_it_was_even_after_a_restart(tmp_path: Path) -> None:
    make_cache(tmp_path).write("ab" * 32, b"payload")
    again = make_cache(tmp_path)
    assert "ab" * 32 in again
    assert again.read("ab" * 32) == b"payload"
    assert again.read("cd" * 32) is None


def test_another_model_does_not_see_it(tmp_path: Path) -> None:
    make_cache(tmp_path).write("ab" * 32, b"payload")
    assert make_cache(tmp_path, fingerprint="other").read("ab" * 32) is None


@pytest.mark.parametrize("position", [0, 10, 45, -1])
def test_a_flipped_bit_is_a_miss_and_the_file_goes(tmp_path: Path, position: int) -> None:
    cache = make_cache(tmp_path)
    cache.write("ab" * 32, b"payload")
    data = bytearray(only_file(tmp_path).read_bytes())
    data[position] ^= 4
    only_file(tmp_path).write_bytes(data)
    assert cache.read("ab" * 32) is None
    assert "ab" * 32 not in cache


@pytest.mark.parametrize("size", [0, 7, 50])
def test_a_truncated_file_is_a_miss(tmp_path: Path, size: int) -> None:
    cache = make_cache(tmp_path)
    cache.write("ab" * 32, b"x" * 20)
    os.truncate(only_file(tmp_path), size)
    assert cache.read("ab" * 32) is None


def test_the_budget_holds_and_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, max_bytes=5 * 1048)
    keys = [f"{i:064x}" for i in range(6)]
    for i, key in enumerate(keys[:5]):
        cache.write(key, b"x" * 1000)
        os.utime(next(tmp_path.rglob(f"{key}.kv")), (i, i))
    assert cache.read(keys[0]) is not None
    cache.write(keys[5], b"x" * 1000)
    assert keys[0] in cache
    assert keys[1] not in cache
    assert cache.num_bytes <= 5 * 1048
    assert cache.num_bytes == sum(p.stat().st_size for p in tmp_path.rglob("*.kv"))


def test_a_blocks_name_depends_on_all_tokens_before_it() -> None:
    first = chain_key("", (1, 2))
    assert chain_key(first, (3, 4)) != chain_key(chain_key("", (2, 1)), (3, 4))
    assert chain_key(first, (3, 4)) == chain_key(chain_key("", (1, 2)), (3, 4))

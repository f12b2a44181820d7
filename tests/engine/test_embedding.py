"""Texts to vectors in flat steps, against the network run over each text whole."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from engine.block_pool import BlockPool
from engine.embedding import Embedder, EmbedOutput, Pooling, Vector, read_pooling
from engine.kv_cache import KVCache, layer_windows, probe_layers
from models.errors import Unsupported
from models.files import ModelFiles
from tests.engine.tiny import random_prompts, tiny_network

FILES = ModelFiles("tiny", "safetensors", (), None, "d" * 64)
NETWORK = tiny_network()


def make_embedder(pooling: Pooling, *, num_blocks: int = 64, max_step_tokens: int = 16) -> Embedder:
    shapes, windows = probe_layers(NETWORK), layer_windows(NETWORK)
    cache = KVCache(shapes, windows, num_blocks=num_blocks, block_size=16, dtype=mx.float32)
    pool = BlockPool(num_blocks, 16)
    embedder = Embedder(FILES, NETWORK, cache, pool, max_step_tokens=max_step_tokens)
    embedder.__dict__["pooling"] = pooling
    return embedder


def run(embedder: Embedder) -> list[EmbedOutput]:
    outputs = []
    while embedder.has_unfinished:
        outputs += embedder.step()
    return outputs


def vectors_of(embedder: Embedder, texts: list[tuple[int, ...]]) -> tuple[Vector, ...]:
    embedder.add("a", texts)
    vectors = run(embedder)[-1].vectors
    assert vectors is not None
    return vectors


def whole(text: tuple[int, ...], pooling: Pooling) -> Vector:
    """The definition: all rows at once, in plain attention."""
    inner = NETWORK.model
    hidden = inner(mx.array([text]), cache=None).astype(mx.float32)
    rows = np.array(hidden[0])
    return {"mean": rows.mean(axis=0), "cls": rows[0], "last": rows[-1]}[pooling]


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_each_text_run_whole(pooling: Pooling) -> None:
    texts = random_prompts(12, 60)
    for text, vector in zip(texts, vectors_of(make_embedder(pooling), texts), strict=True):
        np.testing.assert_allclose(vector, whole(text, pooling), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_batch_gives_each_text_what_it_gets_alone(pooling: Pooling) -> None:
    texts = random_prompts(8, 40)
    together = vectors_of(make_embedder(pooling, max_step_tokens=128), texts)
    for text, vector in zip(texts, together, strict=True):
        (alone,) = vectors_of(make_embedder(pooling, max_step_tokens=128), [text])
        np.testing.assert_array_equal(vector, alone)


def test_texts_wait_for_blocks_and_all_are_given_back() -> None:
    embedder = make_embedder("last", num_blocks=4)
    pool = embedder._pool
    texts = random_prompts(9, 60)
    assert len(vectors_of(embedder, texts)) == 9
    assert pool.num_free == 4
    held = [pool.acquire() for _ in range(4)]
    embedder.add("b", [texts[0]])
    assert embedder.step() == []
    for block_id in held:
        pool.release(block_id)
    assert run(embedder)[-1].vectors is not None
    pool.check_integrity()


def test_requests_are_told_how_far_they_are_and_can_be_left() -> None:
    embedder = make_embedder("mean")
    embedder.add("a", [tuple(range(40))])
    embedder.add("b", [(1, 2, 3)])
    (first,) = embedder.step()
    assert (first.request_id, first.num_computed_tokens, first.vectors) == ("a", 16, None)
    embedder.abort("a")
    assert embedder._pool.num_free == 64
    assert [output.request_id for output in run(embedder)] == ["b"]


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        (None, "last"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
    ],
)
def test_a_directory_says_how_it_pools(tmp_path: Path, settings, pooling: Pooling) -> None:
    if settings is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    files = ModelFiles("m", "safetensors", (), tmp_path, "d" * 64)
    assert read_pooling(files) == pooling


@pytest.mark.parametrize(("number", "pooling"), [(None, "last"), (1, "mean"), (2, "cls")])
def test_a_file_says_how_it_pools(tmp_path: Path, number, pooling: Pooling) -> None:
    assert read_pooling(write_file(tmp_path, number)) == pooling


def test_a_model_that_ranks_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="rank pairs"):
        read_pooling(write_file(tmp_path, 4))


def write_file(directory: Path, number: int | None) -> ModelFiles:
    import gguf

    path = directory / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    if number is not None:
        writer.add_pooling_type(gguf.PoolingType(number))
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return ModelFiles("m", "gguf", (path,), None, "d" * 64)

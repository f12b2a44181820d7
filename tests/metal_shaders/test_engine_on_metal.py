"""The whole engine on Metal's kernels, simulated: the tokens of the other back ends."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from engine.batch import Batch
from engine.kv_cache import KVCache, LayerShape
from engine.loading import EngineOptions, LoadedModel, load_model
from metal_kernels.metal.kv_rows import INT8
from models.files import ModelFiles
from tests.metal_shaders.small_engine import generate, make_engine, make_network
from tests.metal_shaders.tracing import graph, trace

POCKET = Path(__file__).parents[2] / "models" / "pocket" / "pocket.gguf"
PROMPTS = [tuple(range(3, 60)), (5, 9), (1, 2, 3, 4, 1, 2, 3, 4, 1, 2)]


@pytest.mark.usefixtures("other_backend")
def test_batches_with_drafts_and_chunks_give_the_same_tokens(request):
    expected = generate(make_engine(make_network("F32")), PROMPTS, 12)
    simulator = request.getfixturevalue("on_metal")
    assert generate(make_engine(make_network("Q8_0")), PROMPTS, 12) == expected
    assert {launch.kernel for launch in simulator.launches} >= {
        "quantized_matvec_Q8_0",
        "quantized_matvec_Q8_0_Q8_0_Q8_0",
        "quantized_matmul_small_Q8_0_Q8_0",
        "dequantize_rows_Q8_0",
        "rope_kv_write",
        "paged_attention",
        "gather_kv",
    }


@pytest.mark.usefixtures("other_backend")
def test_scaled_bytes_are_kept_and_give_the_same_tokens(request):
    expected = generate(make_engine(make_network("F32"), INT8), PROMPTS, 12)
    simulator = request.getfixturevalue("on_metal")
    assert generate(make_engine(make_network("Q8_0"), INT8), PROMPTS, 12) == expected
    names = {launch.kernel for launch in simulator.launches}
    assert names >= {"kv_write_int8", "paged_attention_int8", "gather_kv_int8"}
    assert not names & {"rope_kv_write", "kv_write", "paged_attention", "gather_kv"}


@pytest.mark.usefixtures("metal_backend")
def test_a_decode_step_over_scaled_bytes_is_traced_and_copies_no_pool():
    step, arrays = make_step(make_network("Q8_0"), INT8)
    names = Counter(source.name for source in trace(step, *arrays))
    assert names["kv_write_int8"] == names["paged_attention_int8"] == 2
    shape = arrays[1].shape
    steps = graph(step, *arrays)
    makers = Counter(op.name for op in steps if any(edge.shape == shape for edge in op.outputs))
    assert makers == {"Depends": 2}


def make_step(
    network: nn.Module, dtype: mx.Dtype = mx.float16
) -> tuple[Callable[..., mx.array], list[mx.array]]:
    """A decode step of two sequences as a function of its ids and the pools, and those arrays."""
    shapes = [LayerShape(num_kv_heads=2, key_size=16, value_size=16)] * 2
    cache = KVCache(shapes, [None, None], num_blocks=8, block_size=16, dtype=dtype)
    batch = Batch(
        ids=mx.array([5, 6], mx.int32),
        positions=mx.array([20, 3], mx.int32),
        slots=mx.array([36, 3], mx.int32),
        block_tables=mx.array([[1, 2], [0, 0]], mx.int32),
        query_starts=mx.array([0, 1, 2], mx.int32),
        context_lens=mx.array([21, 4], mx.int32),
        sample_rows=mx.array([0, 1], mx.int32),
    )
    cache.begin_step(batch)

    def step(ids: mx.array, *pools: mx.array) -> mx.array:
        for layer, pool in zip(cache.layers, pools, strict=True):
            layer.pool = pool
        logits: mx.array = network(ids, cache=cache.layers)
        assert logits.shape == (2, 1, 64)
        return logits

    return step, [batch.ids[:, None], *cache.pools]


@pytest.mark.usefixtures("metal_backend")
def test_a_decode_step_is_traced_with_mlxs_own_kernels():
    """Python of the Metal path runs to its end: shapes, types and arguments are MLX's to refuse."""
    step, arrays = make_step(make_network("Q8_0"))
    names = Counter(source.name for source in trace(step, *arrays))
    assert names == {
        "dequantize_rows_Q8_0": 1,
        "quantized_matvec_Q8_0_Q8_0_Q8_0": 2,  # queries, keys and values
        "quantized_matvec_Q8_0_Q8_0": 2,  # gate and up
        "quantized_matvec_Q8_0": 2 * 2 + 1,  # output and down, and once the head
        "rope_kv_write": 2,
        "paged_attention": 2,
    }


@pytest.mark.usefixtures("metal_backend")
def test_no_operation_of_a_decode_step_makes_a_pool():
    """Pools go into our kernels and through `depends`, which hands on the same memory."""
    step, arrays = make_step(make_network("Q8_0"))
    shape = arrays[1].shape
    steps = graph(step, *arrays)
    makers = Counter(op.name for op in steps if any(edge.shape == shape for edge in op.outputs))
    assert makers == {"Depends": 2}
    readers = Counter(op.name for op in steps if any(edge.shape == shape for edge in op.inputs))
    assert readers == {"CustomKernel": 4, "Depends": 2}


@pytest.mark.usefixtures("metal_backend")
def test_every_read_of_a_pool_waits_for_the_write_before_it():
    """A write has a fence for its output; what reads the pool it gave takes that very fence."""
    step, arrays = make_step(make_network("Q8_0"))
    steps = graph(step, *arrays)
    writes = [op for op in steps if op.name == "Depends"]
    for write in writes:
        fence = write.inputs[1]
        assert fence.shape == (8,)
        (writer,) = [op for op in steps if fence in op.outputs]
        assert write.inputs[0] in writer.inputs
        readers = [op for op in steps if write.outputs[0] in op.inputs]
        assert readers
        assert all(fence in reader.inputs for reader in readers)


def test_a_decode_step_leaves_pools_where_they_are(request):
    request.getfixturevalue("on_metal")
    step, arrays = make_step(make_network("Q8_0"))
    pools = arrays[1:]
    places = [np.array(pool, copy=False).ctypes.data for pool in pools]
    mx.eval(step(*arrays))
    assert [np.array(pool, copy=False).ctypes.data for pool in pools] == places
    for pool in pools:
        assert mx.any(pool[2, :, 4] != 0)
        assert mx.any(pool[0, :, 3] != 0)


@pytest.mark.usefixtures("other_backend")
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_pocket_says_the_same(request, kv_type):
    files = ModelFiles("pocket", "gguf", (POCKET,), None, digest="0" * 64)
    options = EngineOptions(max_context_tokens=256, kv_cache_bytes=1 << 23, kv_type=kv_type)

    def answer() -> list[list[int]]:
        model = load_model(files, options)
        question = tuple(model.tokenizer.encode("What can you do?"))
        return generate(model.engine, [question, repeated_text(model)], 10)

    expected = answer()
    simulator = request.getfixturevalue("on_metal")
    assert answer() == expected
    verified = [x for x in simulator.launches if x.kernel.startswith("quantized_matmul_small")]
    assert verified, "prompt lookup drafts what was there before"
    assert any(launch.kernel.startswith("paged_attention") for launch in simulator.launches)


def repeated_text(model: LoadedModel) -> tuple[int, ...]:
    """A prompt that prompt lookup finds more of."""
    return tuple(model.tokenizer.encode("one two three four " * 6))

"""The whole engine on Metal's kernels, simulated: the tokens of the other back ends."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from gguf.quants import quantize

from engine.batch import Batch
from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.kv_cache import KVCache, LayerShape, layer_windows, probe_layers
from engine.loading import EngineOptions, load_model
from engine.model_runner import ModelRunner
from engine.network.fusion import fuse
from engine.network.placing import place_matrix
from engine.network.zoo import build_network
from engine.plan import SchedulerLimits
from engine.request import Request, SamplingParams
from metal_kernels import quantized, reference
from metal_kernels.metal.kv_rows import INT8
from models.files import ModelFiles
from tests.metal_shaders.tracing import graph, trace

POCKET = Path(__file__).parents[2] / "models" / "pocket" / "pocket.gguf"
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 64,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
PROMPTS = [tuple(range(3, 60)), (5, 9), (1, 2, 3, 4, 1, 2, 3, 4, 1, 2)]


def make_network(quantization: str) -> nn.Module:
    """Random weights as Q8_0 blocks, or as the floats that those stand for."""
    network = build_network(CONFIG)
    rng = np.random.default_rng(0)
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            values = rng.normal(0, 0.3, module.weight.shape).astype(np.float32)
            blocks = quantize(values, gguf.GGMLQuantizationType.Q8_0)
            if quantization == "F32":
                dense = reference.dequantize_blocks("Q8_0", blocks, values.shape[1])
                blocks = dense.view(np.uint8)
            place_matrix(
                network, path, quantized.load_blocks(quantization, blocks, values.shape[1])
            )
    fuse(network)
    network.eval()
    return network


def make_engine(network: nn.Module, dtype: mx.Dtype = mx.float16) -> Engine:
    cache = KVCache(
        probe_layers(network), layer_windows(network), num_blocks=40, block_size=16, dtype=dtype
    )
    limits = SchedulerLimits(max_context_tokens=200, max_step_tokens=32)
    return Engine(
        ModelRunner(network, cache), BlockPool(40, 16), limits, eos_token_ids=frozenset(),
        num_logits=64,
        make_matcher=lambda _: (_ for _ in ()).throw(AssertionError),
    )  # fmt: skip


def generate(engine: Engine, prompts: list[tuple[int, ...]], num_tokens: int) -> list[list[int]]:
    for i, prompt in enumerate(prompts):
        params = SamplingParams(temperature=0, max_tokens=num_tokens)
        engine.add_request(Request(str(i), prompt, params))
    tokens: dict[str, list[int]] = {}
    while engine.has_unfinished:
        for output in engine.step():
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
    return [tokens[str(i)] for i in range(len(prompts))]


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

    def answer() -> list[int]:
        model = load_model(files, options)
        prompt = model.tokenizer.encode("What can you do?")
        return generate(model.engine, [tuple(prompt)], 12)[0]

    expected = answer()
    simulator = request.getfixturevalue("on_metal")
    assert answer() == expected
    assert any(launch.kernel.startswith("paged_attention") for launch in simulator.launches)

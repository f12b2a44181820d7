"""The whole engine on Metal's kernels, simulated: the tokens of the other back ends."""

from pathlib import Path

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from gguf.quants import quantize

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.fusion import fuse
from engine.kv_cache import KVCache, layer_windows, probe_layers
from engine.loading import EngineOptions, load_model
from engine.model_runner import ModelRunner
from engine.network import build_network
from engine.request import Request, SamplingParams
from engine.scheduler import SchedulerLimits
from engine.weights import place_matrix
from metal_kernels import quantized, reference
from models.files import ModelFiles

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


def make_engine(network: nn.Module) -> Engine:
    cache = KVCache(
        probe_layers(network), layer_windows(network), num_blocks=40, block_size=16,
        dtype=mx.float16,
    )  # fmt: skip
    limits = SchedulerLimits(max_context_tokens=200, max_step_tokens=32)
    return Engine(
        ModelRunner(network, cache), BlockPool(40, 16), limits, eos_token_ids=frozenset(),
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


def test_batches_with_drafts_and_chunks_give_the_same_tokens(request):
    expected = generate(make_engine(make_network("F32")), PROMPTS, 12)
    simulator = request.getfixturevalue("on_metal")
    assert generate(make_engine(make_network("Q8_0")), PROMPTS, 12) == expected
    assert {launch.kernel for launch in simulator.launches} >= {
        "quantized_matvec_Q8_0",
        "quantized_matmul_small_Q8_0",
        "dequantize_rows_Q8_0",
        "kv_write",
        "paged_attention",
        "gather_kv",
    }


def test_pocket_says_the_same(request):
    files = ModelFiles("pocket", "gguf", (POCKET,), None, digest="0" * 64)
    options = EngineOptions(max_context_tokens=256, kv_cache_bytes=1 << 23)

    def answer() -> list[int]:
        model = load_model(files, options)
        prompt = model.tokenizer.encode("What can you do?")
        return generate(model.engine, [tuple(prompt)], 4)[0]

    expected = answer()
    simulator = request.getfixturevalue("on_metal")
    assert answer() == expected
    assert any(launch.kernel == "paged_attention" for launch in simulator.launches)

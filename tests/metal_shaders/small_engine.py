"""An engine over a network of a few thousand random weights, of any architecture."""

from typing import Any

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from gguf.quants import quantize

from engine.block_pool import BlockPool
from engine.engine import Engine
from engine.kv_cache import KVCache, layer_windows, probe_layers
from engine.model_runner import ModelRunner
from engine.network.fusion import fuse
from engine.network.placing import has_matrices, place_matrix, place_stack
from engine.network.zoo import build_network
from engine.plan import SchedulerLimits
from engine.request import Request, SamplingParams
from metal_kernels import grouped, quantized, reference

CONFIG: dict[str, Any] = {
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


def make_network(quantization: str, **changes: Any) -> nn.Module:
    """Random weights as Q8_0 blocks, or as the floats that those stand for."""
    mx.random.seed(0)  # of biases and whatever else is no matrix
    network = build_network({**CONFIG, **changes})
    rng = np.random.default_rng(0)
    for path, module in list(network.named_modules()):
        if not has_matrices(module):
            continue
        values = rng.normal(0, 0.3, module.weight.shape).astype(np.float32)
        num_columns = values.shape[-1]
        blocks = quantize(values, gguf.GGMLQuantizationType.Q8_0)
        if quantization == "F32":
            rows = blocks.reshape(-1, blocks.shape[-1])
            dense = reference.dequantize_blocks("Q8_0", rows, num_columns)
            blocks = dense.reshape(values.shape).view(np.uint8)
        if values.ndim == 3:
            place_stack(network, path, grouped.load_blocks(quantization, blocks, num_columns))
        else:
            place_matrix(network, path, quantized.load_blocks(quantization, blocks, num_columns))
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

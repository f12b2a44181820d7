"""Small random models whose every bit follows from a recipe, for comparison with other engines.

Weights come from raw PCG64 output, which NumPy keeps the same from version to version.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from scripts.make_synthetic_model import make_vocabulary

WIDTH, FFN, HEADS, KV_HEADS, HEAD_SIZE, VOCAB, LAYERS = 128, 320, 4, 2, 32, 512, 3
ROPE_FACTORS = (*[1.0] * 6, 1.2, 1.9, 3.1, 5.5, *[8.0] * 6)


@dataclass(frozen=True)
class Recipe:
    """One model: an architecture of GGUF, a weight format, and what it has beside the usual."""

    architecture: str
    quantization: str
    rope_factors: bool = False
    qkv_bias: bool = False
    head_norm: bool = False
    tied: bool = False
    wide: bool = False
    """Wide enough for blocks of 256 columns."""
    dequantized: bool = False
    """The same weights, rounded as the format does, but stored as F32."""

    @property
    def width(self) -> int:
        """Size of the hidden states."""
        return WIDTH * 2 if self.wide else WIDTH

    @property
    def ffn(self) -> int:
        """Size of the feed-forward layer."""
        return WIDTH * 4 if self.wide else FFN

    @property
    def head_size(self) -> int:
        """Size of an attention head."""
        return HEAD_SIZE * 2 if self.wide else HEAD_SIZE

    @property
    def name(self) -> str:
        """Short and unique."""
        extra = "-rope_factors" if self.rope_factors else ""
        return f"{self.architecture}{extra}-{self.quantization.lower()}"


RECIPES = tuple(
    recipe
    for quantization in ("F16", "Q8_0")
    for recipe in (
        Recipe("llama", quantization),
        Recipe("llama", quantization, rope_factors=True, tied=True),
        Recipe("qwen2", quantization, qkv_bias=True),
        Recipe("qwen3", quantization, head_norm=True, tied=True),
    )
)

QUANTIZED = tuple(
    Recipe(architecture, quantization, qkv_bias=qkv_bias, head_norm=head_norm, wide=True)
    for architecture, qkv_bias, head_norm in (
        ("llama", False, False),
        ("qwen2", True, False),
        ("qwen3", False, True),
    )
    for quantization in ("Q8_0", "Q4_K", "Q6_K")
)
"""Compared over one text, with llama.cpp over the file and over the same weights as F32."""


class _Weights:
    """A stream of uniform numbers between -1 and 1."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, *shape: int) -> np.ndarray:
        raw = self._bits.random_raw(math.prod(shape)) >> np.uint64(40)
        return (raw.astype(np.float32) / np.float32(1 << 23) - 1).reshape(shape)

    def matrix(self, rows: int, columns: int, gain: float = 1.0) -> np.ndarray:
        return self.uniform(rows, columns) * np.float32(gain * math.sqrt(3 / columns))

    def norm(self, size: int) -> np.ndarray:
        return 1 + self.uniform(size) * np.float32(0.3)


def _tensors(recipe: Recipe) -> Iterator[tuple[str, np.ndarray]]:
    weights = _Weights(seed=20)
    yield "token_embd.weight", weights.matrix(VOCAB, recipe.width, 2.5 if recipe.tied else 8.0)
    yield "output_norm.weight", weights.norm(recipe.width)
    if not recipe.tied:
        yield "output.weight", weights.matrix(VOCAB, recipe.width, 2.0)
    if recipe.rope_factors:
        yield "rope_freqs.weight", np.array(ROPE_FACTORS, np.float32)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", weights.norm(recipe.width)
        rows = {
            "q": HEADS * recipe.head_size,
            "k": KV_HEADS * recipe.head_size,
            "v": KV_HEADS * recipe.head_size,
        }
        for part, size in rows.items():
            yield f"{block}.attn_{part}.weight", weights.matrix(size, recipe.width, 1.5)
            if recipe.qkv_bias:
                yield f"{block}.attn_{part}.bias", weights.uniform(size)
        if recipe.head_norm:
            yield f"{block}.attn_q_norm.weight", weights.norm(recipe.head_size) * np.float32(1.5)
            yield f"{block}.attn_k_norm.weight", weights.norm(recipe.head_size)
        yield f"{block}.attn_output.weight", weights.matrix(recipe.width, HEADS * recipe.head_size)
        yield f"{block}.ffn_norm.weight", weights.norm(recipe.width)
        yield f"{block}.ffn_gate.weight", weights.matrix(recipe.ffn, recipe.width)
        yield f"{block}.ffn_up.weight", weights.matrix(recipe.ffn, recipe.width)
        yield f"{block}.ffn_down.weight", weights.matrix(recipe.width, recipe.ffn)


def write_golden_model(path: Path, recipe: Recipe) -> None:
    """Write the model that `recipe` describes."""
    writer = gguf.GGUFWriter(path, recipe.architecture)
    writer.add_name(recipe.name)
    writer.add_context_length(1024)
    writer.add_embedding_length(recipe.width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(recipe.ffn)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(recipe.head_size)
    writer.add_value_length(recipe.head_size)
    writer.add_rope_dimension_count(recipe.head_size)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    texts, types, merges = make_vocabulary(VOCAB)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(VOCAB - 4)
    writer.add_eos_token_id(VOCAB - 3)
    writer.add_add_bos_token(False)
    kind = gguf.GGMLQuantizationType[recipe.quantization]
    for name, values in _tensors(recipe):
        if values.ndim == 1:
            writer.add_tensor(name, values)
            continue
        blocks = _quantize(values, recipe.quantization)
        if recipe.dequantized:
            writer.add_tensor(name, gguf.quants.dequantize(blocks, kind))
        else:
            writer.add_tensor(name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _quantize(values: np.ndarray, quantization: str) -> np.ndarray:
    """By gguf-py where it can, by our own quantizer of K-quants elsewhere."""
    kind = gguf.GGMLQuantizationType[quantization]
    try:
        return gguf.quants.quantize(values, kind)
    except NotImplementedError:
        from metal_kernels.quantize_reference import quantize

        return quantize(quantization, values, None)

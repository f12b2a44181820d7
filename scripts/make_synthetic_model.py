"""Writes a GGUF model of any size with random weights, to measure speed without a download.

    python scripts/make_synthetic_model.py --output /tmp/1b.gguf

The default has the shapes of a 1B Llama: 16 layers, width 2048, 32 heads of 64 (8 for keys and
values), 128,256 tokens. Blocks are valid and scaled so that activations stay near one.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np

QUANTIZATIONS = ("Q4_K_M", "Q4_K", "Q6_K", "Q8_0", "F16")
_BLOCK_BYTES = {"Q4_K": 144, "Q6_K": 210, "Q8_0": 34, "F16": 2, "F32": 4}
_BLOCK_SIZE = {"Q4_K": 256, "Q6_K": 256, "Q8_0": 32, "F16": 1, "F32": 1}
_SPECIAL_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>")
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' "
    "+ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """The sizes of one Llama network."""

    layers: int = 16
    width: int = 2048
    ffn: int = 8192
    heads: int = 32
    kv_heads: int = 8
    head_size: int = 64
    vocab: int = 128_256
    context: int = 131_072
    tied: bool = False
    experts: int = 0
    """More than 0: every feed-forward layer is a mixture of so many."""
    experts_used: int = 2


@dataclass(frozen=True)
class Tensor:
    """One matrix, norm or stack to be made; `deviation` is that of its weights (0: all ones)."""

    name: str
    rows: int
    columns: int
    quantization: str
    deviation: float
    matrices: int = 0
    """Of a stack; 0: not one."""


def list_tensors(shape: Shape, quantization: str) -> Iterator[Tensor]:
    """Every tensor of the model in file order, in the formats llama.cpp's mix would give it."""
    width = shape.width
    small = 1 / math.sqrt(2 * shape.layers)

    def matrix(name: str, rows: int, columns: int, better: bool, gain: float = 1.0) -> Tensor:
        kind = quantization
        if quantization == "Q4_K_M":
            kind = "Q6_K" if better else "Q4_K"
        if columns % _BLOCK_SIZE[kind]:
            kind = "Q8_0" if columns % 32 == 0 else "F16"
        return Tensor(f"{name}.weight", rows, columns, kind, gain / math.sqrt(columns))

    def norm(name: str) -> Tensor:
        return Tensor(f"{name}.weight", 1, width, "F32", 0.0)

    yield matrix("token_embd", shape.vocab, width, shape.tied, math.sqrt(width))
    yield norm("output_norm")
    if not shape.tied:
        yield matrix("output", shape.vocab, width, True, 4.0)
    for layer in range(shape.layers):
        better = _gets_more_bits(layer, shape.layers)
        block = f"blk.{layer}"
        yield norm(f"{block}.attn_norm")
        yield matrix(f"{block}.attn_q", shape.heads * shape.head_size, width, False, 2.0)
        yield matrix(f"{block}.attn_k", shape.kv_heads * shape.head_size, width, False, 2.0)
        yield matrix(f"{block}.attn_v", shape.kv_heads * shape.head_size, width, better)
        yield matrix(f"{block}.attn_output", width, shape.heads * shape.head_size, False, small)
        yield norm(f"{block}.ffn_norm")
        parts = [
            matrix(f"{block}.ffn_gate", shape.ffn, width, False),
            matrix(f"{block}.ffn_up", shape.ffn, width, False),
            matrix(f"{block}.ffn_down", width, shape.ffn, better, small),
        ]
        if shape.experts:
            router = f"{block}.ffn_gate_inp.weight"
            yield Tensor(router, shape.experts, width, "F32", 2 / math.sqrt(width))
        yield from (_stacked(part, shape.experts) for part in parts)


def _stacked(part: Tensor, num_experts: int) -> Tensor:
    if not num_experts:
        return part
    name = part.name.replace(".weight", "_exps.weight")
    return replace(part, name=name, matrices=num_experts)


def _gets_more_bits(layer: int, num_layers: int) -> bool:
    """Llama.cpp's rule for attn_v and ffn_down in Q4_K_M: the ends and every third between."""
    eighth = num_layers // 8
    in_between = (layer - eighth) % 3 == 2
    return layer < eighth or layer >= 7 * num_layers // 8 or in_between


def make_blocks(tensor: Tensor, random: np.random.Generator) -> np.ndarray:
    """Random blocks of the tensor, uint8 [rows, bytes of a row], or float32 for a norm."""
    rows = tensor.rows * max(tensor.matrices, 1)
    count = rows * tensor.columns // _BLOCK_SIZE[tensor.quantization]
    if tensor.deviation == 0:
        return np.ones(tensor.columns, np.float32)
    if tensor.quantization in ("F16", "F32"):
        values = random.standard_normal((rows, tensor.columns), np.float32)
        dtype = np.float16 if tensor.quantization == "F16" else np.float32
        return (values * np.float32(tensor.deviation)).astype(dtype)
    makers = {"Q4_K": _q4_k_blocks, "Q6_K": _q6_k_blocks, "Q8_0": _q8_0_blocks}
    blocks = makers[tensor.quantization](count, tensor.deviation, random)
    return blocks.reshape(rows, -1)


def _random_bytes(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    return np.frombuffer(random.bytes(math.prod(shape)), np.uint8).reshape(shape)


def _q4_k_blocks(count: int, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Weight = d * scale * (q - 7.5): each sub-block's minimum has the same bits as its scale."""
    blocks = np.empty((count, 144), np.uint8)
    scales = 32 + (_random_bytes((count, 8), random) & 31)
    d = deviation / (math.sqrt(255 / 12) * math.sqrt(np.mean(np.arange(32, 64) ** 2.0)))
    blocks[:, :4] = np.array([d, 7.5 * d], np.float16).view(np.uint8)
    low, high = scales[:, :4], scales[:, 4:]
    blocks[:, 4:8] = blocks[:, 8:12] = low | ((high >> 4) << 6)
    blocks[:, 12:16] = (high & 15) * 17
    blocks[:, 16:] = _random_bytes((count, 128), random)
    return blocks


def _q6_k_blocks(count: int, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Weight = d * scale * (q - 32), scales between 64 and 127 of either sign."""
    blocks = np.empty((count, 210), np.uint8)
    blocks[:, :192] = _random_bytes((count, 192), random)
    scales = 64 + (_random_bytes((count, 16), random) & 63)
    signs = _random_bytes((count, 16), random) & 1
    blocks[:, 192:208] = np.where(signs, scales, 256 - scales.astype(np.int16)).astype(np.uint8)
    d = deviation / (math.sqrt(4095 / 12) * math.sqrt(np.mean(np.arange(64, 128) ** 2.0)))
    blocks[:, 208:] = np.array([d], np.float16).view(np.uint8)
    return blocks


def _q8_0_blocks(count: int, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Weight = d * q."""
    blocks = np.empty((count, 34), np.uint8)
    blocks[:, :2] = np.array([deviation / math.sqrt(65535 / 12)], np.float16).view(np.uint8)
    blocks[:, 2:] = _random_bytes((count, 32), random)
    return blocks


def make_vocabulary(size: int) -> tuple[list[str], list[int], list[str]]:
    """Texts, types and merges of a byte-level vocabulary: bytes, letter groups, special tokens.

    Groups grow by one letter at a time, so every token can be reached by merges.
    """
    stand_ins = gguf_byte_stand_ins()
    num_groups = size - len(stand_ins) - len(_SPECIAL_TOKENS)
    if num_groups < 0:
        sys.exit(f"error: a vocabulary of {size}; at least {size - num_groups} are needed")
    groups: list[str] = []
    merges: list[str] = []
    grown = ["Ġ", *_LETTERS]
    for start in grown:
        if len(groups) == num_groups:
            break
        for letter in _LETTERS[: num_groups - len(groups)]:
            groups.append(start + letter)
            merges.append(f"{start} {letter}")
            grown.append(start + letter)
    texts = [*stand_ins, *groups, *_SPECIAL_TOKENS]
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    types = [normal] * (len(texts) - len(_SPECIAL_TOKENS)) + [control] * len(_SPECIAL_TOKENS)
    return texts, types, merges


def gguf_byte_stand_ins() -> list[str]:
    """The printable character that stands for each byte in GPT-2 vocabularies, by byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def write_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Architecture, sizes, vocabulary and chat template."""
    writer.add_name("synthetic")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    texts, types, merges = make_vocabulary(shape.vocab)
    first_special = len(texts) - len(_SPECIAL_TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(first_special)
    writer.add_eos_token_id(first_special + 3)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_model(path: Path, shape: Shape, quantization: str, seed: int) -> int:
    """Write the model, tensor by tensor; returns the bytes of its weights."""
    writer = gguf.GGUFWriter(path, "llama")
    write_metadata(writer, shape)
    tensors = list(list_tensors(shape, quantization))
    for tensor in tensors:
        kind = gguf.GGMLQuantizationType[tensor.quantization]
        row_bytes = tensor.columns // _BLOCK_SIZE[tensor.quantization]
        row_bytes *= _BLOCK_BYTES[tensor.quantization]
        stack = (tensor.matrices,) if tensor.matrices else ()
        num_bytes = math.prod((*stack, tensor.rows, row_bytes))
        if tensor.quantization in ("F16", "F32"):
            dtype = np.float16 if tensor.quantization == "F16" else np.float32
            matrix = (*stack, tensor.rows, tensor.columns)
            dims = (tensor.columns,) if tensor.deviation == 0 else matrix
            writer.add_tensor_info(tensor.name, dims, np.dtype(dtype), num_bytes)
        else:
            dims = (*stack, tensor.rows, row_bytes)
            writer.add_tensor_info(tensor.name, dims, np.dtype(np.uint8), num_bytes, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    total = 0
    for index, tensor in enumerate(tensors):
        blocks = make_blocks(tensor, np.random.default_rng((seed, index)))
        writer.write_tensor_data(blocks)
        total += blocks.nbytes
    writer.close()
    return total


def main() -> None:
    """Read the options and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    defaults = Shape()
    for name in (
        "layers",
        "width",
        "ffn",
        "heads",
        "kv_heads",
        "head_size",
        "vocab",
        "context",
        "experts",
        "experts_used",
    ):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=getattr(defaults, name))
    parser.add_argument("--tied", action="store_true", help="the output is the embedding")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="Q4_K_M")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = vars(parser.parse_args())
    path, quantization, seed = (options.pop(key) for key in ("output", "quantization", "seed"))
    num_bytes = write_model(path, Shape(**options), quantization, seed)
    print(f"{path}: {num_bytes / 1e9:.2f} GB of {quantization} weights")


if __name__ == "__main__":
    main()

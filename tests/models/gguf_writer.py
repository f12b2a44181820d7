"""A GGUF writer that can also lie: every field may be given other than it ought to be."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from models.formats.ggml_types import BLOCK_FORMATS

TYPE_IDS = {form.name: type_id for type_id, form in BLOCK_FORMATS.items()}
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?"}
_CODES |= {U64: "Q", I64: "q", F64: "d"}


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return u64(len(raw)) + raw


def scalar(value_type: int, value: Any) -> bytes:
    return struct.pack("<" + _CODES[value_type], value)


def array(item_type: int, items: list[Any], *, count: int | None = None) -> bytes:
    raw = b"".join(
        text(item)
        if item_type == STRING
        else item
        if item_type == ARRAY
        else scalar(item_type, item)
        for item in items
    )
    return u32(item_type) + u64(len(items) if count is None else count) + raw


def entry(key: str | bytes, value_type: int, raw: bytes) -> bytes:
    return text(key) + u32(value_type) + raw


def value(key: str, content: Any) -> bytes:
    """An entry of the type that fits `content`."""
    if isinstance(content, bool):
        return entry(key, BOOL, bytes([content]))
    if isinstance(content, int):
        return entry(key, U32, u32(content))
    if isinstance(content, float):
        return entry(key, F32, struct.pack("<f", content))
    if isinstance(content, str):
        return entry(key, STRING, text(content))
    kind = {str: STRING, bool: BOOL, int: I32, float: F32}[type(content[0])]
    return entry(key, ARRAY, array(kind, content))


def tensor(name: str, dimensions: list[int], type_id: int, offset: int) -> bytes:
    """A description; `dimensions` in GGUF's order, the row length first."""
    shape = u32(len(dimensions)) + b"".join(map(u64, dimensions))
    return text(name) + shape + u32(type_id) + u64(offset)


def assemble(
    entries: list[bytes],
    tensors: list[bytes] = [],  # noqa: B006
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    num_tensors: int | None = None,
    num_entries: int | None = None,
    alignment: int = 32,
) -> bytes:
    head = magic + u32(version)
    head += u64(len(tensors) if num_tensors is None else num_tensors)
    head += u64(len(entries) if num_entries is None else num_entries)
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data


def model_bytes(
    metadata: dict[str, Any],
    tensors: dict[str, tuple[str, tuple[int, ...]]],
    *,
    seed: int = 0,
    alignment: int = 32,
) -> bytes:
    """A valid file with random blocks; `tensors` maps names to format and row-major shape."""
    rng = np.random.default_rng(seed)
    described, data = [], b""
    for name, (quantization, shape) in tensors.items():
        form = BLOCK_FORMATS[TYPE_IDS[quantization]]
        num_bytes = int(np.prod(shape)) // form.block_size * form.block_bytes
        data += bytes(-len(data) % alignment)
        described.append(tensor(name, list(shape[::-1]), TYPE_IDS[quantization], len(data)))
        data += rng.bytes(num_bytes)
    entries = [value(key, content) for key, content in metadata.items()]
    return assemble(entries, described, data, alignment=alignment)


LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 15,
    "llama.context_length": 2048,
    "llama.embedding_length": 256,
    "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "é"],
    "tokenizer.ggml.scores": [0.0, -1.0, -2.0, -3.0],
    "tokenizer.chat_template": "{% if tools %}{{ tools }}{% endif %}<think>",
}
WEIGHTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "token_embd.weight": ("Q6_K", (8, 256)),
    "blk.0.attn_q.weight": ("Q4_K", (16, 512)),
    "blk.0.attn_norm.weight": ("F32", (256,)),
    "blk.0.ffn_up_exps.weight": ("Q8_0", (2, 3, 64)),
}


def write_llama(path: Path, *, seed: int = 0) -> Path:
    path.write_bytes(model_bytes(LLAMA, WEIGHTS, seed=seed))
    return path


def write_shards(directory: Path, count: int = 3, *, stem: str = "tiny") -> list[Path]:
    paths = []
    for index in range(count):
        metadata: dict[str, Any] = {
            "split.no": index,
            "split.count": count,
            "split.tensors.count": count,
        }
        if index == 0:
            metadata |= LLAMA
        raw = model_bytes(metadata, {f"blk.{index}.weight": ("F16", (2, 4))}, seed=index)
        path = directory / f"{stem}-{index + 1:05d}-of-{count:05d}.gguf"
        path.write_bytes(raw)
        paths.append(path)
    return paths

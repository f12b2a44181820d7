"""Small vocabularies as GGUF metadata, for tests."""

from typing import Any

import numpy as np

from engine.network.gguf_values import Metadata
from engine.tokenizer import Tokenizer
from engine.tokenizer.gguf import tokenizer_from_metadata
from scripts.make_synthetic_model import gguf_byte_stand_ins

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


def make_tokenizer(values: dict[str, Any]) -> Tokenizer:
    prefixed = {f"tokenizer.ggml.{key}": value for key, value in values.items()}
    return tokenizer_from_metadata(Metadata({"general.architecture": "llama", **prefixed}))


def bpe_values(
    merges: list[str], special: list[str] | None = None, pre: str = "gpt-2", **more: Any
) -> dict[str, Any]:
    special = ["<|start|>s", "<|end|>e"] if special is None else special
    texts = [*gguf_byte_stand_ins(), *(merge.replace(" ", "") for merge in merges), *special]
    types = [NORMAL] * (len(texts) - len(special)) + [CONTROL] * len(special)
    return {
        "model": "gpt2",
        "pre": pre,
        "tokens": texts,
        "token_type": np.array(types, np.int32),
        "merges": merges,
        "bos_token_id": len(texts) - 2,
        "eos_token_id": len(texts) - 1,
        **more,
    }


def spm_values(pieces: dict[str, float], **more: Any) -> dict[str, Any]:
    bytes_texts = [f"<0x{byte:02X}>" for byte in range(256)]
    texts = ["<unk>", "<s>", "</s>", *bytes_texts, *pieces]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    return {
        "model": "llama",
        "tokens": texts,
        "scores": np.array([0.0] * 259 + list(pieces.values()), np.float32),
        "token_type": np.array(types, np.int32),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        **more,
    }

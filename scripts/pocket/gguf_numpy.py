"""A plain numpy forward of a Llama GGUF file, to compare the exported file with the trainer.

It reads the file as llama.cpp does: dequantized weights, RoPE on neighbouring pairs.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class NumpyLlama:
    """Logits of every position of one sequence."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors: dict[str, Array] = {
            t.name: np.asarray(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32)
            for t in reader.tensors
        }

    def setting(self, key: str) -> Any:
        return self.fields["llama." + key]

    def norm(self, x: Array, name: str) -> Array:
        eps = self.setting("attention.layer_norm_rms_epsilon")
        scale: Array = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return x / scale * self.tensors[name + ".weight"]

    def project(self, x: Array, name: str) -> Array:
        return x @ self.tensors[name + ".weight"].T

    def heads(self, x: Array, name: str, count: int) -> Array:
        return self.project(x, name).reshape(len(x), count, -1).transpose(1, 0, 2)

    def rope(self, x: Array) -> Array:
        """[heads, tokens, head_size]; elements 2i and 2i + 1 turn together."""
        size = x.shape[-1]
        inverse = self.setting("rope.freq_base") ** (-np.arange(0, size, 2) / size)
        angles = np.arange(x.shape[1])[:, None] * inverse
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
        return np.stack((turned.real, turned.imag), -1).reshape(x.shape).astype(np.float32)

    def attention(self, x: Array, layer: str) -> Array:
        count = self.setting("attention.head_count")
        kv_count = self.setting("attention.head_count_kv")
        q = self.rope(self.heads(x, layer + "attn_q", count))
        k = self.rope(self.heads(x, layer + "attn_k", kv_count)).repeat(count // kv_count, 0)
        v = self.heads(x, layer + "attn_v", kv_count).repeat(count // kv_count, 0)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        scores += np.triu(np.full(scores.shape[1:], -np.inf), 1)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        return self.project(mixed.transpose(1, 0, 2).reshape(len(x), -1), layer + "attn_output")

    def ffn(self, x: Array, layer: str) -> Array:
        gate = self.project(x, layer + "ffn_gate")
        up = self.project(x, layer + "ffn_up")
        return self.project(gate / (1 + np.exp(-gate)) * up, layer + "ffn_down")

    def logits(self, tokens: list[int]) -> Array:
        """[len(tokens), vocab_size]; the output matrix is the embedding's."""
        x = self.tensors["token_embd.weight"][tokens]
        for i in range(self.setting("block_count")):
            layer = f"blk.{i}."
            x = x + self.attention(self.norm(x, layer + "attn_norm"), layer)
            x = x + self.ffn(self.norm(x, layer + "ffn_norm"), layer)
        return self.norm(x, "output_norm") @ self.tensors["token_embd.weight"].T

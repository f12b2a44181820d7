"""The network of `pocket` in PyTorch: a Llama with rotate-half RoPE and tied embeddings.

It knows token ids only; text, templates and files are elsewhere.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100
ROW_STEP = 128


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; every one is written into the GGUF file."""

    vocab_size: int = 4096
    width: int = 256
    num_layers: int = 12
    num_heads: int = 4
    num_kv_heads: int = 4
    ffn_width: int = 1024
    context_length: int = 2048
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.width // self.num_heads


def rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each [context_length, head_size // 2]."""
    half = shape.head_size // 2
    inverse = shape.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
    angles = torch.arange(shape.context_length, dtype=torch.float32)[:, None] * inverse
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on [batch, heads, tokens, head_size]; element i turns with element i + half."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Norm(nn.Module):
    """RMSNorm with its weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class Layer(nn.Module):
    """One pre-norm block: causal attention, then SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        kv_width = shape.num_kv_heads * shape.head_size
        self.shape = shape
        self.attn_norm = Norm(shape.width, shape.norm_eps)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = Norm(shape.width, shape.norm_eps)
        self.ffn_gate = nn.Linear(shape.width, shape.ffn_width, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.ffn_width, bias=False)
        self.ffn_down = nn.Linear(shape.ffn_width, shape.width, bias=False)

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, tokens, _ = x.shape

        def heads(projection: nn.Linear) -> Tensor:
            return projection(x).view(batch, tokens, -1, self.shape.head_size).transpose(1, 2)

        q, k = rotate(heads(self.attn_q), cos, sin), rotate(heads(self.attn_k), cos, sin)
        out = F.scaled_dot_product_attention(q, k, heads(self.attn_v), is_causal=True)
        return self.attn_output(out.transpose(1, 2).reshape(batch, tokens, -1))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attn_norm(x), cos, sin)
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Network(nn.Module):
    """Token ids [batch, tokens] to hidden states; logits only where they are asked for."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab_size, shape.width)
        self.blk = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.output_norm = Norm(shape.width, shape.norm_eps)
        cos, sin = rope_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal(0.02) embeddings, 1/sqrt(fan_in) matrices, zero residual outputs."""
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for name, weight in self.named_parameters():
            if weight.ndim == 2 and name.startswith("blk."):
                is_output = "attn_output" in name or "ffn_down" in name
                nn.init.zeros_(weight) if is_output else nn.init.normal_(
                    weight, std=weight.shape[1] ** -0.5
                )

    def forward(self, tokens: Tensor) -> Tensor:
        """Final normed hidden states [batch, tokens, width]."""
        dtype = torch.bfloat16 if torch.is_autocast_enabled(tokens.device.type) else torch.float32
        x = self.token_embd(tokens).to(dtype)
        cos = self.cos[: tokens.shape[1]].to(dtype)
        sin = self.sin[: tokens.shape[1]].to(dtype)
        for layer in self.blk:
            x = layer(x, cos, sin)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every token, float32, shape [..., vocab_size]."""
        return F.linear(hidden, self.token_embd.weight).float()

    def loss(self, tokens: Tensor, is_target: Tensor) -> Tensor:
        """Mean cross entropy of the tokens that `is_target` marks; both [batch, tokens]."""
        hidden = self(tokens).flatten(0, 1)
        targets = torch.where(is_target, tokens, IGNORED)[:, 1:]
        targets = F.pad(targets, (0, 1), value=IGNORED).flatten()
        order = (targets != IGNORED).nonzero().flatten()
        # The matrix library compiles for each fresh number of rows: keep these few.
        order = F.pad(order, (0, -len(order) % ROW_STEP), value=targets.numel() - 1)
        scores = self.logits(hidden[order])
        return F.cross_entropy(scores, targets[order], ignore_index=IGNORED)

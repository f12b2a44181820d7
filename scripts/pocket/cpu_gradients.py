"""Loss and gradients of the network on one CPU core, written out.

They are what `Network.loss` and autograd give, in bfloat16, for 0.6 of the processor time.

Weights and gradients are views of flat tensors in the order of the network's parameters, so that
the matrices of one input (q, k, v; gate, up) are one matrix.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.pocket import cpu_kernels as kernels
from scripts.pocket.network import ROW_STEP, Layer, Network

# Cosines, sines and the sizes of a batch.
Turns = tuple[Tensor, Tensor, kernels.Sizes]
MATRICES = {
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "output": ("attn_output",),
    "gate_up": ("ffn_gate", "ffn_up"),
    "down": ("ffn_down",),
}


def split_flat(network: Network, flat: Tensor) -> dict[str, Tensor]:
    """Views of `flat`, one for each parameter of the network."""
    named = dict(network.named_parameters())
    parts = flat.split([p.numel() for p in named.values()])
    return {name: part.view_as(p) for (name, p), part in zip(named.items(), parts, strict=True)}


def joined_matrices(views: dict[str, Tensor], layer: int) -> dict[str, Tensor]:
    """The matrices of a layer, those of one input as one."""
    joined = {}
    for name, parts in MATRICES.items():
        first, *others = (views[f"blk.{layer}.{part}.weight"] for part in parts)
        rows = len(first) + sum(len(other) for other in others)
        joined[name] = first.as_strided((rows, first.shape[1]), (first.shape[1], 1))
    return joined


@dataclass
class Saved:
    """What a layer's backward needs of its forward."""

    x: Tensor
    normed: Tensor
    scale: Tensor
    heads: Tensor
    shares: Tensor
    attended: Tensor
    ffn_x: Tensor
    ffn_normed: Tensor
    ffn_scale: Tensor
    gate_up: Tensor
    gated: Tensor


class Gradients:
    """Of the mean loss over the targets of a batch, into the flat `grads`.

    `weights` and `grads` are bfloat16; the weights of norms are read from the network.
    """

    def __init__(self, network: Network, weights: Tensor, grads: Tensor) -> None:
        assert network.shape.num_heads == network.shape.num_kv_heads
        self.network, self.shape = network, network.shape
        weight_of, self.grad_of = split_flat(network, weights), split_flat(network, grads)
        layers = range(self.shape.num_layers)
        self.weights = [joined_matrices(weight_of, i) for i in layers]
        self.grads = [joined_matrices(self.grad_of, i) for i in layers]
        self.embedding = weight_of["token_embd.weight"]

    def loss(self, tokens: Tensor, is_target: Tensor) -> float:
        """Writes the gradients; tokens and marks are [batch, tokens]."""
        batch, length = tokens.shape
        sizes = (batch, length, self.shape.num_heads, self.shape.head_size)
        cos, sin = (table[:length] for table in (self.network.cos, self.network.sin))
        x = F.embedding(tokens.flatten(), self.embedding)
        branch = torch.zeros_like(x)
        saved = []
        for i in range(self.shape.num_layers):
            x, branch, kept = self._forward(i, x, branch, (cos, sin, sizes))
            saved.append(kept)
        norm = self.network.output_norm
        x, normed, scale = kernels.add_norm(x, branch, norm.weight, norm.eps)
        loss, grad_normed = self._head(normed, tokens, is_target)
        grad = torch.zeros_like(x)
        self.grad_of["output_norm.weight"].copy_(
            kernels.add_norm_backward(grad_normed, x, scale, norm.weight, grad)
        )
        for i in reversed(range(self.shape.num_layers)):
            self._backward(i, saved.pop(), grad, (cos, sin, sizes))
        rows = torch.zeros(self.embedding.shape).index_add_(0, tokens.flatten(), grad.float())
        self.grad_of["token_embd.weight"].add_(rows)
        return loss

    def _forward(
        self, i: int, x: Tensor, branch: Tensor, turns: Turns
    ) -> tuple[Tensor, Tensor, Saved]:
        """The layer's input is x + branch, and so is its output."""
        layer, weights = self.network.blk[i], self.weights[i]
        assert isinstance(layer, Layer)
        batch, tokens, heads, size = turns[2]
        x, normed, scale = kernels.add_norm(x, branch, layer.attn_norm.weight, self.shape.norm_eps)
        split = kernels.split_heads(normed @ weights["qkv"].mT, *turns)
        q, k, v = split
        shares = kernels.causal_softmax_(q @ k.mT)
        attended = (shares @ v).view(batch, heads, tokens, size).transpose(1, 2).reshape(x.shape)
        ffn_x, ffn_normed, ffn_scale = kernels.add_norm(
            x, attended @ weights["output"].mT, layer.ffn_norm.weight, self.shape.norm_eps
        )
        gate_up = ffn_normed @ weights["gate_up"].mT
        gated = kernels.swiglu(gate_up)
        saved = Saved(
            *(x, normed, scale, split, shares, attended),
            *(ffn_x, ffn_normed, ffn_scale, gate_up, gated),
        )
        return ffn_x, gated @ weights["down"].mT, saved

    def _head(self, normed: Tensor, tokens: Tensor, is_target: Tensor) -> tuple[float, Tensor]:
        """The loss and the gradient of the last hidden states."""
        places = F.pad(is_target[:, 1:], (0, 1)).flatten().nonzero().flatten()
        count, targets = len(places), tokens.flatten()[places + 1]
        # The matrix library compiles for each fresh number of rows: keep these few.
        places = F.pad(places, (0, -count % ROW_STEP), value=len(normed) - 1)
        hidden = normed[places]
        scores = hidden @ self.embedding.mT
        loss = kernels.cross_entropy_(scores[:count], targets)
        scores[count:] = 0
        torch.mm(scores.mT, hidden, out=self.grad_of["token_embd.weight"])
        grad = torch.zeros_like(normed)
        grad[places] = scores @ self.embedding
        return loss, grad

    def _backward(self, i: int, saved: Saved, grad: Tensor, turns: Turns) -> None:
        """Turns `grad`, that of the layer's output, into that of its input."""
        layer, weights, grads = self.network.blk[i], self.weights[i], self.grads[i]
        assert isinstance(layer, Layer)
        batch, tokens, heads, size = turns[2]
        torch.mm(grad.mT, saved.gated, out=grads["down"])
        grad_gate_up = kernels.swiglu_backward_(grad @ weights["down"], saved.gate_up)
        torch.mm(grad_gate_up.mT, saved.ffn_normed, out=grads["gate_up"])
        self._norm(
            f"blk.{i}.ffn_norm.weight",
            kernels.add_norm_backward(
                grad_gate_up @ weights["gate_up"],
                *(saved.ffn_x, saved.ffn_scale, layer.ffn_norm.weight, grad),
            ),
        )
        torch.mm(grad.mT, saved.attended, out=grads["output"])
        split = (grad @ weights["output"]).view(batch, tokens, heads, size).transpose(1, 2)
        grad_out = split.reshape(batch * heads, tokens, size)
        q, k, v = saved.heads
        grad_v = saved.shares.mT @ grad_out
        grad_scores = kernels.causal_softmax_backward_(saved.shares, grad_out @ v.mT)
        grad_qkv = kernels.split_heads_backward(grad_scores @ k, grad_scores.mT @ q, grad_v, *turns)
        torch.mm(grad_qkv.mT, saved.normed, out=grads["qkv"])
        self._norm(
            f"blk.{i}.attn_norm.weight",
            kernels.add_norm_backward(
                grad_qkv @ weights["qkv"], saved.x, saved.scale, layer.attn_norm.weight, grad
            ),
        )

    def _norm(self, name: str, grad: Tensor) -> None:
        self.grad_of[name].copy_(grad)

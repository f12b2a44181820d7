"""The C++ steps of `pocket`'s training, compiled where they run and called on PyTorch's tensors."""

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_suffix(".cpp")
# Batch, tokens, heads and the size of a head.
Sizes = tuple[int, int, int, int]
COMPILE = "c++ -O3 -march=native -mprefer-vector-width=512 -ffast-math -shared -fPIC".split()


@cache
def load_kernels() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.so"
        subprocess.run([*COMPILE, SOURCE, "-o", path, "-lm"], check=True)
        loaded = ctypes.CDLL(str(path))
    loaded.cross_entropy.restype = ctypes.c_double
    return loaded


def run(name: str, *arguments: Tensor | int | float) -> float:
    """Calls a function of the library; its tensors are contiguous."""
    passed: list[ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            assert argument.is_contiguous(), name
            passed.append(ctypes.c_void_p(argument.data_ptr()))
        else:
            is_int = isinstance(argument, int)
            passed.append(ctypes.c_int64(argument) if is_int else ctypes.c_float(argument))
    result: float = getattr(load_kernels(), name)(*passed)
    return result


def add_norm(x: Tensor, y: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x + y [rows, width], its RMSNorm, and each row's factor."""
    total, normed = torch.empty_like(x), torch.empty_like(x)
    scale = torch.empty(len(x))
    run("add_norm", x, y, weight, total, normed, scale, *x.shape, eps)
    return total, normed, scale


def add_norm_backward(
    grad: Tensor, x: Tensor, scale: Tensor, weight: Tensor, grad_x: Tensor
) -> Tensor:
    """Adds the gradient of RMSNorm's input to `grad_x`; returns that of the weight."""
    grad_weight = torch.zeros_like(weight)
    run("norm_backward", grad, x, scale, weight, grad_x, grad_weight, *x.shape)
    return grad_weight


def split_heads(qkv: Tensor, cos: Tensor, sin: Tensor, sizes: Sizes) -> Tensor:
    """q, k and v [3, batch * heads, tokens, size], q and k turned, q divided by sqrt(size)."""
    batch, tokens, heads, size = sizes
    split = torch.empty(3, batch * heads, tokens, size, dtype=qkv.dtype)
    run("split_heads", qkv, cos, sin, *split, *sizes, size**-0.5)
    return split


def split_heads_backward(
    q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, sizes: Sizes
) -> Tensor:
    """The gradient of `qkv` [batch * tokens, 3 * heads * size] from those of q, k and v."""
    batch, tokens, heads, size = sizes
    grad = torch.empty(batch * tokens, 3 * heads * size, dtype=q.dtype)
    run("split_heads_backward", q, k, v, cos, sin, grad, *sizes, size**-0.5)
    return grad


def causal_softmax_(scores: Tensor) -> Tensor:
    """In place on [squares, tokens, tokens]."""
    run("causal_softmax", scores, torch.empty(scores.shape[-1]), *scores.shape[:2])
    return scores


def causal_softmax_backward_(shares: Tensor, grad: Tensor) -> Tensor:
    """Turns `grad`, the gradient of the shares, into that of the scores."""
    run("causal_softmax_backward", shares, grad, *grad.shape[:2])
    return grad


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up from [rows, 2 * width]."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(rows, width, dtype=gate_up.dtype)
    run("swiglu", gate_up, out, rows, width)
    return out


def swiglu_backward_(grad: Tensor, gate_up: Tensor) -> Tensor:
    """Turns `gate_up` into its gradient."""
    run("swiglu_backward", grad, gate_up, *grad.shape)
    return gate_up


def cross_entropy_(scores: Tensor, targets: Tensor) -> float:
    """Mean over the rows; turns `scores` [rows, vocab] into their gradient."""
    rows, vocab = scores.shape
    row = torch.empty(vocab)
    return run("cross_entropy", scores, row, targets, rows, vocab, 1 / rows) / rows

"""Muon for the matrices and AdamW for the rest (Keller Jordan, "Muon", 2024).

Matrices of one shape are orthogonalized together, which is what makes it cheap on a CPU.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(stack: Tensor, num_steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices of [n, rows, columns], by a quintic Newton-Schulz."""
    a, b, c = NEWTON_SCHULZ
    is_tall = stack.shape[-2] > stack.shape[-1]
    x = (stack.mT if is_tall else stack).bfloat16().contiguous()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(num_steps):
        gram = x @ x.mT
        mixed = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, mixed, x, beta=a)
    return (x.mT if is_tall else x).to(stack.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized; decoupled weight decay. Parameters without a gradient stay."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["momentum"] = torch.zeros_like(p)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for same in by_shape.values():
                self._step_stack(same, group)

    def _step_stack(self, params: list[nn.Parameter], group: dict[str, float]) -> None:
        updates = []
        for p in params:
            assert p.grad is not None
            buffer = self.state[p]["momentum"]
            buffer.lerp_(p.grad, 1 - group["momentum"])
            updates.append(p.grad.lerp(buffer, group["momentum"]))
        rows, columns = params[0].shape
        scale = group["lr"] * max(1.0, rows / columns) ** 0.5
        for p, update in zip(params, orthogonalize(torch.stack(updates)), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(update, alpha=-scale)


def make_optimizers(
    network: nn.Module, muon_lr: float, adam_lr: float
) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices; AdamW for the embedding and the norms."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, p in network.named_parameters():
        (matrices if p.ndim == 2 and name.startswith("blk.") else others).append(p)
    adam = torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0)
    return [Muon(matrices, lr=muon_lr, momentum=0.95, weight_decay=0.05), adam]

"""One update of the network by several processes, each with a batch of its own on one core.

Weights, gradients and momenta stand in shared memory. Each process owns a share of the matrices: it
adds up their gradients over all processes and updates them for everybody.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scripts.pocket.batches import Batch
from scripts.pocket.cpu_gradients import Gradients, split_flat
from scripts.pocket.cpu_kernels import load_kernels
from scripts.pocket.network import Network
from scripts.pocket.optimizer import Muon

MAX_GRAD_NORM = 1.0


def owned(network: Network, rank: int, num_processes: int) -> list[str]:
    """Parameters that process `rank` updates: all vectors and the embedding by the first one."""
    seen: dict[torch.Size, int] = {}
    names = []
    for name, p in network.named_parameters():
        owner = 0
        if name.startswith("blk.") and p.ndim == 2:
            owner = seen.get(p.shape, 0) % num_processes
            seen[p.shape] = seen.get(p.shape, 0) + 1
        if owner == rank:
            names.append(name)
    return names


def shared(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Zeros in memory that forked processes share."""
    zeros: Tensor = torch.zeros(*sizes, dtype=dtype).share_memory_()
    return zeros


class SharedStep:
    """Made before the processes are forked; then each calls `run` with its rank."""

    def __init__(
        self, network: Network, optimizers: list[torch.optim.Optimizer], num_processes: int
    ) -> None:
        size = sum(p.numel() for p in network.parameters())
        self.network, self.optimizers, self.num_processes = network, optimizers, num_processes
        self.params: dict[str, nn.Parameter] = dict(network.named_parameters())
        weights = shared(size)
        self.copies = shared(size, dtype=torch.bfloat16)
        self.grads = shared(num_processes, size, dtype=torch.bfloat16)
        self.totals = shared(num_processes, 3)
        self.copy_of = split_flat(network, self.copies)
        load_kernels()
        for name, view in split_flat(network, weights).items():
            view.copy_(self.params[name].detach())
            self.params[name].data = view
            self.copy_of[name].copy_(view)
        for optimizer in optimizers:
            if isinstance(optimizer, Muon):
                for state in optimizer.state.values():
                    state["momentum"].share_memory_()

    @torch.no_grad()
    def run(self, rank: int, batch: Batch) -> tuple[float, int]:
        """The loss over all batches of the step and the number of their tokens."""
        marks = torch.from_numpy(batch.is_target)
        loss = self.gradients(rank).loss(torch.from_numpy(batch.tokens), marks)
        count = int(marks[:, 1:].sum())
        self.totals[rank] = torch.tensor([count, loss * count, batch.tokens.size])
        dist.barrier()
        count, loss_sum, num_tokens = self.totals.sum(0).tolist()
        self.add_up(rank, (self.totals[:, 0] / count).tolist())
        for optimizer in self.optimizers:
            optimizer.step()
        for name in owned(self.network, rank, self.num_processes):
            self.copy_of[name].copy_(self.params[name])
        dist.barrier()
        return loss_sum / count, int(num_tokens)

    def gradients(self, rank: int) -> Gradients:
        return Gradients(self.network, self.copies, self.grads[rank])

    def add_up(self, rank: int, shares: list[float]) -> None:
        """Sets `grad` of the owned parameters: the processes' gradients by their shares, clipped."""
        parts = [split_flat(self.network, grads) for grads in self.grads]
        square = torch.zeros(1)
        grads: list[Tensor] = []
        for name in owned(self.network, rank, self.num_processes):
            grad = sum(part[name].float() * x for part, x in zip(parts, shares, strict=True))
            assert isinstance(grad, Tensor)
            self.params[name].grad = grad
            square += grad.square().sum()
            grads.append(grad)
        dist.all_reduce(square)
        factor = min(1.0, MAX_GRAD_NORM / (square.sqrt().item() + 1e-6))
        torch._foreach_mul_(grads, factor)

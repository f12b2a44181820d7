"""The trainer's own arithmetic beside PyTorch's; runs where PyTorch is installed."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402

from scripts.pocket import cpu_kernels  # noqa: E402
from scripts.pocket.batches import Batch  # noqa: E402
from scripts.pocket.cpu_gradients import Gradients  # noqa: E402
from scripts.pocket.cpu_step import SharedStep  # noqa: E402
from scripts.pocket.network import Network, Shape  # noqa: E402
from scripts.pocket.optimizer import make_optimizers  # noqa: E402

SHAPE = Shape(vocab_size=512, width=128, num_layers=2, num_heads=2, num_kv_heads=2, ffn_width=256)


def make_network() -> Network:
    torch.manual_seed(1)
    network = Network(SHAPE)
    for name, p in network.named_parameters():
        if p.ndim == 1:
            torch.nn.init.uniform_(p, 0.5, 1.5)
        elif "output" in name or "down" in name:
            torch.nn.init.normal_(p, std=0.05)
    return network


def make_batch(rows: int = 5, length: int = 24) -> Batch:
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, SHAPE.vocab_size, (rows, length))
    return Batch(tokens, rng.random((rows, length)) < 0.4)


def test_written_out_gradients_are_those_of_autograd() -> None:
    network, batch = make_network(), make_batch()
    tokens, marks = torch.from_numpy(batch.tokens), torch.from_numpy(batch.is_target)
    loss = network.loss(tokens, marks)
    loss.backward()
    weights = torch.cat([p.detach().flatten() for p in network.parameters()]).bfloat16()
    gradients = Gradients(network, weights, torch.full_like(weights, torch.nan))
    with torch.no_grad():
        assert gradients.loss(tokens, marks) == pytest.approx(loss.item(), rel=2e-3)
    for name, p in network.named_parameters():
        error = (gradients.grad_of[name].float() - p.grad).norm() / p.grad.norm()
        assert error < 0.04, name  # bfloat16; autocast's own is as large


def test_the_kernels_softmax_and_cross_entropy_are_pytorchs() -> None:
    scores = torch.linspace(-30, 3, 256).bfloat16()
    shares = cpu_kernels.causal_softmax_(scores.expand(1, 256, 256).contiguous())[0, -1]
    assert torch.allclose(shares.float(), scores.float().softmax(-1), rtol=5e-3, atol=1e-12)
    rows, targets = (torch.randn(64, 512) * 4).bfloat16(), torch.randint(512, (64,))
    wanted = torch.nn.functional.cross_entropy(rows.double(), targets).item()
    assert cpu_kernels.cross_entropy_(rows, targets) == pytest.approx(wanted, rel=1e-6)


def take_steps(
    rank: int, shared: SharedStep, batch: Batch, num_processes: int, meeting: Path
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_processes
    )
    for _ in range(3):
        shared.run(rank, batch)


@pytest.fixture
def trained(tmp_path: Path) -> "partial[dict[str, torch.Tensor]]":
    def train(num_processes: int) -> dict[str, torch.Tensor]:
        network = make_network()
        shared = SharedStep(network, make_optimizers(network, 0.01, 0.002), num_processes)
        meeting = tmp_path / f"meeting {num_processes}"
        mp.start_processes(
            take_steps,
            (shared, make_batch(), num_processes, meeting),
            num_processes,
            start_method="fork",
        )
        return {name: p.detach() for name, p in network.named_parameters()}

    return partial(train)


def test_two_processes_with_one_batch_step_as_one_process_does(
    trained: "partial[dict[str, torch.Tensor]]",
) -> None:
    alone, together = trained(1), trained(2)
    first = dict(make_network().named_parameters())
    for name, p in alone.items():
        assert not torch.equal(p, first[name]), name
        assert torch.allclose(p, together[name], rtol=1e-2, atol=2e-4), name

"""Trains `pocket` from nothing, or goes on from the last checkpoint in the work directory.

Warm-up, constant rate, then a linear decay over the last part of the time budget. On CPUs each
core is a process of one thread with a batch of its own in every step: threads of one process spend
two thirds of their time waiting for each other when the machine is shared. On a GPU one process
computes and the others draw its batches.
"""

import argparse
import math
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Tokenizer

from scripts.pocket.batches import Batch, batches, batches_ahead
from scripts.pocket.cpu_step import MAX_GRAD_NORM, SharedStep
from scripts.pocket.mix import sample_texts
from scripts.pocket.network import Network, Shape
from scripts.pocket.optimizer import make_optimizers
from scripts.pocket.tokenizer import load_tokenizer, train_tokenizer

MUON_LR = 0.015
ADAM_LR = 2.5e-3
WARMUP_STEPS = 60
CHECKPOINT_EVERY_S = 60
LOG_EVERY = 20

# One update with a batch; the step's loss and number of tokens.
Step = Callable[[Batch], tuple[float, int]]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/pocket/train", description=__doc__)
    parser.add_argument(
        "--work", type=Path, required=True, help="directory of the state and the log"
    )
    parser.add_argument("--minutes", type=float, default=180, help="time budget of this run")
    parser.add_argument(
        "--decay-minutes", type=float, default=120, help="its last part, with decaying rate"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the full learning rates")
    parser.add_argument(
        "--batch-tokens", type=int, default=2048, help="of a batch; each CPU process has one a step"
    )
    parser.add_argument("--processes", type=int, default=2, help="one per core")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def provide_tokenizer(path: Path, shape: Shape, seed: int) -> Tokenizer:
    if not path.exists():
        train_tokenizer(sample_texts(seed, 60_000), shape.vocab_size).save(str(path))
    return load_tokenizer(path)


def rate(step: int, left_s: float, decay_s: float) -> float:
    """Factor of the learning rates: warm-up by steps, decay by the clock."""
    return min(1.0, (step + 1) / WARMUP_STEPS, max(0.0, left_s / decay_s))


def step_alone(
    network: Network, optimizers: list[torch.optim.Optimizer], batch: Batch
) -> tuple[float, int]:
    """One update on the network's device; the batch's loss and its number of tokens."""
    device = network.token_embd.weight.device
    tokens = torch.from_numpy(batch.tokens).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        loss = network.loss(tokens, torch.from_numpy(batch.is_target).to(device))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRAD_NORM)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item(), batch.tokens.size


class Run:
    """The network, its optimizers and how far they are."""

    def __init__(self, work: Path, seed: int, device: str, shape: Shape) -> None:
        torch.manual_seed(seed)
        self.path = work / "checkpoint.pt"
        self.network = Network(shape).to(device)
        self.optimizers = make_optimizers(self.network, MUON_LR, ADAM_LR)
        self.rates = [group["lr"] for o in self.optimizers for group in o.param_groups]
        self.step = self.num_tokens = 0
        if self.path.exists():
            state = torch.load(self.path, map_location=device)
            self.network.load_state_dict(state["network"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step, self.num_tokens = state["step"], state["num_tokens"]

    def set_rate(self, factor: float) -> None:
        groups = [group for o in self.optimizers for group in o.param_groups]
        for group, full in zip(groups, self.rates, strict=True):
            group["lr"] = full * factor

    def write(self) -> None:
        state: dict[str, Any] = {
            "shape": vars(self.network.shape),
            "network": self.network.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "num_tokens": self.num_tokens,
        }
        aside = self.path.with_suffix(".tmp")
        torch.save(state, aside)
        aside.replace(self.path)


def seconds_left(end: float) -> float:
    """By the first process's clock."""
    clock = torch.tensor([end - time.monotonic()])
    if dist.is_initialized():
        dist.broadcast(clock, 0)
    return clock.item()


def train(run: Run, step: Step, stream: Iterator[Batch], args: argparse.Namespace) -> None:
    """One of the processes; the first keeps the log and the checkpoint."""
    is_first = not dist.is_initialized() or dist.get_rank() == 0
    start = written = time.monotonic()
    end, smooth, first_tokens = start + 60 * args.minutes, math.nan, run.num_tokens
    log = (args.work / "log.txt").open("a", buffering=1)
    while (left_s := seconds_left(end)) > 0:
        run.set_rate(args.rate * rate(run.step, left_s, 60 * args.decay_minutes))
        loss, num_tokens = step(next(stream))
        run.step, run.num_tokens = run.step + 1, run.num_tokens + num_tokens
        smooth = loss if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss
        now = time.monotonic()
        if is_first and run.step % LOG_EVERY == 0:
            speed = (run.num_tokens - first_tokens) / (now - start)
            print(
                f"step {run.step} tokens {run.num_tokens / 1e6:.2f}M loss {smooth:.4f} "
                f"tok/s {speed:.0f} left {left_s / 60:.1f} min",
                file=log,
            )
        if is_first and now - written > CHECKPOINT_EVERY_S:
            run.write()
            written = now
    if is_first:
        run.write()


def train_on_core(rank: int, run: Run, shared: SharedStep, args: argparse.Namespace) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{args.rendezvous}", rank=rank, world_size=args.processes
    )
    tokenizer = load_tokenizer(args.work / "tokenizer.json")
    stream = batches(tokenizer, stream_seed(run, args) + rank, args.batch_tokens)
    train(run, partial(shared.run, rank), stream, args)


def stream_seed(run: Run, args: argparse.Namespace) -> int:
    """A resumed run draws other dialogues than the run that it continues."""
    seed: int = (args.seed * 1_000_000 + run.step) * 100
    return seed


def main() -> None:
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    tokenizer = provide_tokenizer(args.work / "tokenizer.json", Shape(), args.seed)
    torch.set_num_threads(1)
    run = Run(args.work, args.seed, args.device, Shape())
    if args.device == "cuda":
        step = partial(step_alone, run.network, run.optimizers)
        seed = stream_seed(run, args)
        train(run, step, batches_ahead(tokenizer, seed, args.batch_tokens, args.processes), args)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # ends the others, too
    with tempfile.TemporaryDirectory() as folder:
        args.rendezvous = Path(folder) / "rendezvous"
        shared = SharedStep(run.network, run.optimizers, args.processes)
        mp.start_processes(
            train_on_core,
            (run, shared, args),
            args.processes,
            daemon=True,
            start_method="fork",
        )


if __name__ == "__main__":
    main()

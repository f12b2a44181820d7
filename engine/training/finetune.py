"""LoRA training of a loaded model on examples of the user's own."""

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from engine.network.lora import LoRAConfig, add_adapter, save_adapter
from engine.network_loading import load_network
from engine.training.data import Example, read_examples
from models.errors import InvalidInput
from models.files import ModelFiles


@dataclass(frozen=True)
class FinetuneOptions:
    """How to train; the defaults suit a few hundred short examples."""

    num_steps: int = 200
    batch_size: int = 4
    learning_rate: float = 2e-4
    max_tokens: int = 1024
    """Longer examples are cut."""
    lora: LoRAConfig = field(default_factory=LoRAConfig)
    validation_share: float = 0.1
    validate_every: int = 50
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "max_tokens", "validate_every", "save_every"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate <= 1:
            raise InvalidInput(f"learning_rate must be in (0, 1], not {self.learning_rate:g}")
        if not 0 <= self.validation_share < 1:
            raise InvalidInput(f"validation_share must be in [0, 1), not {self.validation_share:g}")


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step, as it is shown to the user. Losses are nats a learned token."""

    step: int
    num_steps: int
    loss: float
    validation_loss: float | None
    tokens_per_s: float
    learning_rate: float


def finetune(
    files: ModelFiles,
    data: Path,
    output: Path,
    options: FinetuneOptions,
    on_step: Callable[[TrainingStep], None],
) -> None:
    """Train an adapter and write it to `output`, every `save_every` steps and at the end.

    Raises:
        InvalidInput, NotFound: the data cannot be used, or the loss is no longer a number.
    """
    loaded = load_network(files)
    examples = read_examples(data, loaded.tokenizer, loaded.chat_template, options.max_tokens)
    training, validation = _split(examples, options)
    mx.random.seed(options.seed)
    network = loaded.network
    add_adapter(network, options.lora)
    network.train()
    schedule = _learning_rate(options)
    optimizer = optim.AdamW(learning_rate=schedule)
    loss_and_grad = nn.value_and_grad(network, _loss)
    batches = _batches(training, options)
    for step in range(1, options.num_steps + 1):
        start_s = time.monotonic()
        batch = next(batches)
        (total, num_targets), gradients = loss_and_grad(network, *_arrays(batch))
        optimizer.update(network, gradients)
        mx.eval(network.trainable_parameters(), optimizer.state, total)
        loss = total.item() if num_targets.item() else math.nan
        if not math.isfinite(loss):
            raise InvalidInput(
                f"the loss is {loss} at step {step}", hint="try a smaller --learning-rate"
            )
        last = step == options.num_steps
        validate = validation and (last or step % options.validate_every == 0)
        on_step(
            TrainingStep(
                step,
                options.num_steps,
                loss,
                _mean_loss(network, validation, options) if validate else None,
                sum(len(example.token_ids) for example in batch) / (time.monotonic() - start_s),
                float(optimizer.learning_rate.item()),
            )
        )
        if last or step % options.save_every == 0:
            save_adapter(network, options.lora, output)


def _loss(
    network: nn.Module, ids: mx.array, targets: mx.array, weights: mx.array
) -> tuple[mx.array, mx.array]:
    """Mean cross-entropy of the learned tokens, and their number."""
    logits = network(ids).astype(mx.float32)
    losses = nn.losses.cross_entropy(logits, targets) * weights
    num_targets = weights.sum()
    return losses.sum() / mx.maximum(num_targets, 1), num_targets


def _arrays(batch: list[Example]) -> tuple[mx.array, mx.array, mx.array]:
    """Inputs, targets and weights [B, L], padded at the right where no weight lies."""
    length = max(len(example.token_ids) for example in batch)
    ids = [list(e.token_ids) + [0] * (length - len(e.token_ids)) for e in batch]
    weights = [list(e.is_target) + [False] * (length - len(e.is_target)) for e in batch]
    tokens = mx.array(ids, mx.int32)
    return tokens[:, :-1], tokens[:, 1:], mx.array(weights, mx.float32)[:, 1:]


def _mean_loss(network: nn.Module, examples: list[Example], options: FinetuneOptions) -> float:
    network.eval()
    total = num_targets = 0.0
    for i in range(0, len(examples), options.batch_size):
        loss, number = _loss(network, *_arrays(examples[i : i + options.batch_size]))
        total += float(loss * number)
        num_targets += float(number)
    network.train()
    return total / max(num_targets, 1)


def _split(
    examples: list[Example], options: FinetuneOptions
) -> tuple[list[Example], list[Example]]:
    shuffled = random.Random(options.seed).sample(examples, len(examples))
    num_validation = int(len(examples) * options.validation_share)
    return shuffled[num_validation:], shuffled[:num_validation]


def _batches(examples: list[Example], options: FinetuneOptions) -> Iterator[list[Example]]:
    """Endless; each pass over the data has another order, batches of similar length."""
    rng = random.Random(options.seed)
    by_length = sorted(examples, key=lambda example: len(example.token_ids))
    size = options.batch_size
    batches = [by_length[i : i + size] for i in range(0, len(by_length), size)]
    while True:
        rng.shuffle(batches)
        yield from batches


def _learning_rate(options: FinetuneOptions) -> Callable[[mx.array], mx.array]:
    """Linear warm-up over a tenth of the steps, then a cosine to a tenth of the peak."""
    num_warmup = max(1, options.num_steps // 10)
    peak = options.learning_rate
    warmup = optim.linear_schedule(peak / num_warmup, peak, num_warmup)
    decay = optim.cosine_decay(peak, max(1, options.num_steps - num_warmup), peak / 10)
    return optim.join_schedules([warmup, decay], [num_warmup])

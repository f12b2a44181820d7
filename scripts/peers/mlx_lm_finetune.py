"""LoRA of mlx-lm as it comes: all linear layers, batches of 4; prints each step's rate."""

import argparse
import json
import types
from typing import Any

from mlx_lm import lora
from mlx_lm.tuner.callbacks import TrainingCallback


class Rates(TrainingCallback):
    """Keeps what the trainer reports."""

    def __init__(self) -> None:
        self.steps_per_s: list[float] = []

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        """One step."""
        self.steps_per_s.append(train_info["iterations_per_second"])


def main() -> None:
    """Train, then print a JSON list as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("adapter")
    parser.add_argument("--steps", type=int, default=2)
    asked = parser.parse_args()
    rates = Rates()
    options = lora.CONFIG_DEFAULTS | {
        "model": asked.model,
        "data": asked.data,
        "adapter_path": asked.adapter,
        "train": True,
        "num_layers": -1,
        "iters": asked.steps,
        "steps_per_report": 1,
        "steps_per_eval": 1_000_000,
        "val_batches": 1,
    }
    # `run` makes its own callbacks, whatever it is given
    lora.get_reporting_callbacks = lambda *_args, **_options: rates
    lora.run(types.SimpleNamespace(**options))
    print(json.dumps(rates.steps_per_s))


if __name__ == "__main__":
    main()

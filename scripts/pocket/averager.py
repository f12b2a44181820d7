"""Averages the weights of checkpoints of one run into a work directory of its own, for `export`.

The average stands where a long decay would have led: it is often better than each of them
(Izmailov et al., "Averaging weights leads to wider optima", 2018).

python -m scripts.pocket.averager CHECKPOINT CHECKPOINT... --work DIR
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", help="the newest last")
    parser.add_argument("--work", type=Path, required=True, help="a directory without a checkpoint")
    return parser.parse_args()


def average(states: list[dict[str, Any]]) -> dict[str, Any]:
    """The last state with the mean of all weights."""
    names = states[-1]["network"]
    mean = {name: sum(s["network"][name] for s in states) / len(states) for name in names}
    return states[-1] | {"network": mean}


def main() -> None:
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    assert not (args.work / "checkpoint.pt").exists(), args.work
    states = [torch.load(path, map_location="cpu") for path in args.checkpoints]
    torch.save(average(states), args.work / "checkpoint.pt")
    shutil.copy(args.checkpoints[-1].with_name("tokenizer.json"), args.work)


if __name__ == "__main__":
    main()

"""Makes a work directory out of an exported file, so that training can go on from it.

Momenta start anew, and weights are as exact as the file's quantization: give `train` a small
`--rate` at first.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from scripts.pocket.gguf_numpy import NumpyLlama
from scripts.pocket.network import Network, Shape
from scripts.pocket.tokenizer import rebuild_tokenizer
from scripts.pocket.trainer import Run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/pocket/restore", description=__doc__)
    parser.add_argument("--file", type=Path, default=Path("models/pocket/pocket.gguf"))
    parser.add_argument("--work", type=Path, required=True, help="a directory without a checkpoint")
    return parser.parse_args()


def pair_halves(weight: npt.NDArray[np.float32], num_heads: int) -> npt.NDArray[np.float32]:
    """Rows of a q or k matrix reordered from llama.cpp's pairs to rotate-half RoPE."""
    rows, columns = weight.shape
    pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, columns))


def read_shape(file: NumpyLlama) -> Shape:
    return Shape(
        vocab_size=file.setting("vocab_size"),
        width=file.setting("embedding_length"),
        num_layers=file.setting("block_count"),
        num_heads=file.setting("attention.head_count"),
        num_kv_heads=file.setting("attention.head_count_kv"),
        ffn_width=file.setting("feed_forward_length"),
        context_length=file.setting("context_length"),
        rope_base=file.setting("rope.freq_base"),
    )


def load_weights(network: Network, file: NumpyLlama) -> None:
    heads = {"attn_q": network.shape.num_heads, "attn_k": network.shape.num_kv_heads}
    weights = {}
    for name, weight in file.tensors.items():
        part = name.split(".")[-2]
        weights[name] = torch.tensor(pair_halves(weight, heads[part]) if part in heads else weight)
    network.load_state_dict(weights)


def main() -> None:
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    assert not (args.work / "checkpoint.pt").exists(), args.work
    file = NumpyLlama(args.file)
    tokens, merges = file.fields["tokenizer.ggml.tokens"], file.fields["tokenizer.ggml.merges"]
    rebuild_tokenizer(tokens, merges).save(str(args.work / "tokenizer.json"))
    run = Run(args.work, seed=0, device="cpu", shape=read_shape(file))
    load_weights(run.network, file)
    run.write()


if __name__ == "__main__":
    main()

"""Writes the last checkpoint of a work directory as one F16 GGUF file and checks its numbers.

`localllm quantize FILE Q5_K_M -o models/pocket/pocket.gguf` makes the bundled file of it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch

from scripts.pocket.gguf_numpy import NumpyLlama
from scripts.pocket.network import Network, Shape
from scripts.pocket.template import TEMPLATE
from scripts.pocket.tokenizer import CONTROL, END, MARKUP

PROBE_TOKENS = 48


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/pocket/export", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the trainer's work directory")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def load_network(work: Path) -> tuple[Network, dict[str, Any]]:
    state = torch.load(work / "checkpoint.pt", map_location="cpu")
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state["network"])
    return network.eval(), state


def pair_neighbours(weight: npt.NDArray[np.float32], num_heads: int) -> npt.NDArray[np.float32]:
    """Rows of a q or k matrix reordered from rotate-half RoPE to llama.cpp's pairs."""
    rows, columns = weight.shape
    halves = weight.reshape(num_heads, 2, rows // num_heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def token_type(token: str) -> gguf.TokenType:
    if token in CONTROL:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.USER_DEFINED if token in MARKUP else gguf.TokenType.NORMAL


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    model = json.loads(path.read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    end = tokens.index(END)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([token_type(t) for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def add_settings(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("pocket")
    writer.add_description("The small model that comes with LocalLLM")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.ffn_width)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)


def add_tensors(writer: gguf.GGUFWriter, network: Network) -> None:
    heads = {"attn_q": network.shape.num_heads, "attn_k": network.shape.num_kv_heads}
    for name, tensor in network.state_dict().items():
        weight = tensor.float().numpy()
        part = name.split(".")[-2]
        if part in heads:
            weight = pair_neighbours(weight, heads[part])
        writer.add_tensor(name, weight if weight.ndim == 1 else weight.astype(np.float16))


def write_gguf(network: Network, tokenizer: Path, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(output, "llama")
    add_settings(writer, network.shape)
    add_tokenizer(writer, tokenizer)
    add_tensors(writer, network)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def largest_difference(network: Network, path: Path) -> float:
    """Of log-probabilities, trainer against file, over a fixed random sequence."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, network.shape.vocab_size, (1, PROBE_TOKENS), generator=generator)
    with torch.no_grad():
        ours = network.logits(network(tokens)[0]).log_softmax(-1)
    theirs = torch.from_numpy(NumpyLlama(path).logits(tokens[0].tolist())).log_softmax(-1)
    return float((ours - theirs).abs().max())


def main() -> None:
    args = parse_arguments()
    network, state = load_network(args.work)
    write_gguf(network, args.work / "tokenizer.json", args.output)
    difference = largest_difference(network, args.output)
    print(
        f"{args.output}: step {state['step']}, {state['num_tokens'] / 1e6:.2f}M tokens, "
        f"{args.output.stat().st_size} bytes, largest log-probability difference {difference:.4f}"
    )


if __name__ == "__main__":
    main()

"""One tiny random architecture as F32, F16, Q8_0 and Q4_K_M files, and what transformers and
llama.cpp compute from them. Run by scripts/judge_architectures.py under a Python with both.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts import make_architecture_models as making  # noqa: E402

FILE_TYPES = {"Q8_0": 7, "Q4_K_M": 15}
NUM_TOKENS = 72
LOGIT_GAIN = 0.5
"""Brings the logits' deviation near one, so that distances are those of an unsure model."""
WIDE: dict[str, int] = {
    "hidden_size": 256,
    "intermediate_size": 256,
    "moe_intermediate_size": 256,
    "shared_expert_intermediate_size": 256,
}
"""K-quants need whole superblocks of 256 columns."""


def quantize(source: Path, target: Path, file_type: int) -> bool:
    """By llama.cpp itself; False if it does not load the file (DeepSeek V2 Lite is known to it by
    its number of layers alone)."""
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    names = str(source).encode(), str(target).encode()
    return bool(llama_cpp.llama_model_quantize(*names, params) == 0)


def main() -> None:
    """Make the files and `expected.npz`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("name", choices=making.CASES)
    parser.add_argument("--llama-cpp", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    import torch  # type: ignore[import-not-found, unused-ignore]

    logging.disable(logging.CRITICAL)
    family, more = making.CASES[asked.name]
    known = {key: size for key, size in WIDE.items() if key in {**making.COMMON, **more}}
    network = making.make_network(family, {**more, **known})
    with torch.no_grad():
        network.get_output_embeddings().weight *= LOGIT_GAIN
    tokens = np.random.default_rng(4).integers(3, making.VOCAB, NUM_TOKENS).tolist()
    expected: dict[str, Any] = {
        "tokens": tokens,
        "transformers": making.transformers_logprobs(network, tokens),
    }
    for kind in ("F32", "F16"):
        with tempfile.TemporaryDirectory() as folder:
            target = asked.output / f"{kind}.gguf"
            published = making.PUBLISHED.get(asked.name)
            making.convert(network, Path(folder), target, asked.llama_cpp, kind.lower(), published)
    kinds = [
        kind
        for kind, file_type in FILE_TYPES.items()
        if quantize(asked.output / "F32.gguf", asked.output / f"{kind}.gguf", file_type)
    ]
    for kind in ("F16", *kinds) if kinds else ():
        expected[kind] = making.llama_cpp_logprobs(asked.output / f"{kind}.gguf", tokens)
    np.savez(asked.output / "expected.npz", **expected)


if __name__ == "__main__":
    main()

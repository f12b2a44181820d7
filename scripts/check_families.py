"""Makes a tiny random model of every family mlx-lm knows, loads it, and compares what the engine
says with mlx-lm's own forward pass; alone, in a batch, and over a prefix known before.

    .venv/bin/python scripts/check_families.py [FAMILY ...] [--bits N]

Prints a line for each family and how many of how many agree.
"""

import argparse
import importlib
import json
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.utils
import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.loading import EngineOptions, LoadedModel, load_model  # noqa: E402
from engine.network.corrections import correct  # noqa: E402
from engine.network.zoo import known_families  # noqa: E402
from engine.request import Request, SamplingParams  # noqa: E402
from models.resolve import resolve_path  # noqa: E402
from scripts.family_models import make_config  # noqa: E402

NUM_DRAWS = 3
NOISE, NUM_NOISES = 1e-4, 8
"""How far numbers are moved, relative to each, and how often, to see whether a network is decided:
three times what our sums of products round off."""

PROMPT = tuple(range(3, 43))
OTHERS = ((7, 9, 11), tuple(range(40, 10, -1)), PROMPT)
NUM_NEW, MAX_ERROR = 4, 0.02


def write_family(directory: Path, family: str, bits: int | None, seed: int = 0) -> Any:
    """A random model as mlx-lm's converter leaves it; returns mlx-lm's own network, corrected."""
    module = _zoo(family)
    config = make_config(module, family)
    mx.random.seed(zlib.crc32(family.encode()) + seed)  # some layers draw as they are made
    network = module.Model(module.ModelArgs.from_dict(config))
    correct(network, config, _zoo)
    network.update(mlx.utils.tree_map_with_path(_random, network.parameters()))
    if bits is not None:
        nn.quantize(network, 32, bits, class_predicate=_fits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    weights: Any = mlx.utils.tree_flatten(network.parameters(), destination={})
    mx.save_safetensors(str(directory / "model.safetensors"), weights, {"format": "mlx"})
    (directory / "config.json").write_text(json.dumps(config))
    _write_tokenizer(directory)
    if bits is None and hasattr(network, "sanitize"):
        network.load_weights(list(network.sanitize(weights).items()), strict=False)
    network.eval()
    return network


def _zoo(name: str) -> Any:
    return importlib.import_module(f"mlx_lm.models.{name}")


def _random(_path: str, value: mx.array) -> mx.array:
    if value.ndim > 1 and mx.issubdtype(value.dtype, mx.floating):
        value = mx.random.normal(value.shape, value.dtype) * (0.7 / value.shape[-1] ** 0.5)
    return value


def _fits(_path: str, module: nn.Module) -> bool:
    return hasattr(module, "to_quantized") and module.weight.shape[-1] % 32 == 0


def _write_tokenizer(directory: Path) -> None:
    vocab = {"<s>": 0, "</s>": 1} | {f"w{i}": i for i in range(2, 64)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(directory / "tokenizer.json"))
    text = {"bos_token": "<s>", "eos_token": "</s>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(text))


def generate(model: LoadedModel, prompts: tuple[tuple[int, ...], ...]) -> list[Any]:
    """For each prompt the new tokens, and all log-probabilities behind its end."""
    engine = model.engine
    sampling = SamplingParams(temperature=0, max_tokens=NUM_NEW, num_logprobs=20, ignore_eos=True)
    for index, prompt in enumerate(prompts):
        engine.add_request(Request(str(index), prompt, sampling))
    tokens: list[list[int]] = [[] for _ in prompts]
    first: list[dict[int, float]] = [{} for _ in prompts]
    while engine.has_unfinished:
        for output in engine.step():
            index = int(output.request_id)
            if not tokens[index] and output.logprobs:
                first[index] = dict(output.logprobs[0].alternatives)
            tokens[index] += output.token_ids
    return list(zip(tokens, first, strict=True))


def log_probabilities(network: Any, prompt: tuple[int, ...]) -> np.ndarray:
    """Behind the prompt, float64 [V]."""
    cache = _zoo("cache").make_prompt_cache(network)
    rows = network(mx.array([prompt]), cache=cache)[0, -1]
    logits = np.array(rows.astype(mx.float32), np.float64)
    shifted = logits - logits.max()
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum())
    return result


def error_against(network: Any, prompt: tuple[int, ...], found: dict[int, float]) -> float:
    """The largest difference of the log-probabilities behind the prompt."""
    expected = log_probabilities(network, prompt)
    return max(abs(float(logprob - expected[token])) for token, logprob in found.items())


def is_decided(network: Any, prompt: tuple[int, ...]) -> bool:
    """Whether mlx-lm's own answer stays where it is when its numbers move a little.

    Random weights can put a token a hair's breadth from another expert, or a norm's input next to
    zero; then any rounding decides, and nothing is learned from a comparison.
    """
    own, expected = network.parameters(), log_probabilities(network, prompt)
    moves = []
    for draw in range(NUM_NOISES):
        mx.random.seed(draw)
        network.update(mlx.utils.tree_map(_moved, own))
        moves.append(np.abs(log_probabilities(network, prompt) - expected).max())
    network.update(own)
    return bool(max(moves) < MAX_ERROR)


def _moved(value: mx.array) -> mx.array:
    if not mx.issubdtype(value.dtype, mx.floating):
        return value
    return value * (1 + NOISE * mx.random.normal(value.shape)).astype(value.dtype)


def check(family: str, bits: int | None, seed: int = 0) -> str:
    """How the family runs; AssertionError where it computes something else.

    Weights with which mlx-lm's own answer hangs on rounding are drawn again.
    """
    for draw in range(NUM_DRAWS):
        with tempfile.TemporaryDirectory() as folder:
            network = write_family(Path(folder), family, bits, seed * NUM_DRAWS + draw)
            kind, error = _compare(Path(folder), network)
            if error < MAX_ERROR:
                return f"{kind}, differs by {error:.5f}"
            assert not is_decided(network, PROMPT), f"log-probabilities differ by {error:.3f}"
    raise AssertionError(f"{NUM_DRAWS} times the weights left the answer to rounding")


def _compare(folder: Path, network: Any) -> tuple[str, float]:
    """How the family runs, and the largest difference from `network`."""
    options = EngineOptions(max_context_tokens=120, max_step_tokens=16, kv_cache_bytes=1 << 24)
    model = load_model(resolve_path(folder), options)
    ((alone, logprobs),) = generate(model, (PROMPT,))
    error = error_against(network, PROMPT, logprobs)
    together = generate(model, OTHERS)
    assert together[-1][0] == alone, "a batch says something else than the sequence alone"
    longer = (*PROMPT, *alone, 5)
    error = max(error, error_against(network, longer, generate(model, (longer,))[0][1]))
    return "paged" if model.engine.is_paged else "state", error


def main() -> None:
    """Check the families that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("families", nargs="*")
    parser.add_argument("--bits", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    options = parser.parse_args()
    families = options.families or known_families()
    num_right = 0
    for family in families:
        try:
            print(f"{family}: {check(family, options.bits, options.seed)}", flush=True)
            num_right += 1
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a result here
            print(f"{family}: FAILS: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{num_right} of {len(families)} load, generate and agree")


if __name__ == "__main__":
    main()

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
from engine.network.zoo import known_families  # noqa: E402
from engine.request import Request, SamplingParams  # noqa: E402
from models.resolve import resolve_path  # noqa: E402
from scripts.family_models import make_config  # noqa: E402

PROMPT = tuple(range(3, 43))
OTHERS = ((7, 9, 11), tuple(range(40, 10, -1)), PROMPT)
NUM_NEW, MAX_ERROR = 4, 0.02


def write_family(directory: Path, family: str, bits: int | None) -> Any:
    """A random model as mlx-lm's converter leaves it; returns mlx-lm's own network."""
    module = importlib.import_module(f"mlx_lm.models.{family}")
    config = make_config(module, family)
    mx.random.seed(zlib.crc32(family.encode()))  # some layers draw as they are made
    network = module.Model(module.ModelArgs.from_dict(config))
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


def error_against(network: Any, prompt: tuple[int, ...], found: dict[int, float]) -> float:
    """The largest difference of the log-probabilities behind the prompt."""
    cache = importlib.import_module("mlx_lm.models.cache").make_prompt_cache(network)
    rows = network(mx.array([prompt]), cache=cache)[0, -1]
    logits = np.array(rows.astype(mx.float32), np.float64)
    expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    return max(abs(float(logprob - expected[token])) for token, logprob in found.items())


def check(family: str, bits: int | None) -> str:
    """How the family runs; AssertionError where it computes something else."""
    with tempfile.TemporaryDirectory() as folder:
        network = write_family(Path(folder), family, bits)
        options = EngineOptions(max_context_tokens=120, max_step_tokens=16, kv_cache_bytes=1 << 24)
        model = load_model(resolve_path(Path(folder)), options)
        ((alone, logprobs),) = generate(model, (PROMPT,))
        error = error_against(network, PROMPT, logprobs)
        assert error < MAX_ERROR, f"log-probabilities differ by {error:.3f}"
        together = generate(model, OTHERS)
        assert together[-1][0] == alone, "a batch says something else than the sequence alone"
        again = generate(model, ((*PROMPT, *alone, 5),))[0][1]
        error = max(error, error_against(network, (*PROMPT, *alone, 5), again))
        assert error < MAX_ERROR, f"behind a known prefix log-probabilities differ by {error:.3f}"
        return f"{'paged' if model.engine.is_paged else 'state'}, differs by {error:.5f}"


def main() -> None:
    """Check the families that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("families", nargs="*")
    parser.add_argument("--bits", type=int)
    options = parser.parse_args()
    families = options.families or known_families()
    num_right = 0
    for family in families:
        try:
            print(f"{family}: {check(family, options.bits)}", flush=True)
            num_right += 1
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a result here
            print(f"{family}: FAILS: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{num_right} of {len(families)} load, generate and agree")


if __name__ == "__main__":
    main()

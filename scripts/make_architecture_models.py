"""Makes a tiny random model of each architecture with transformers, converts it to GGUF with
llama.cpp's own converter, and records what transformers and llama.cpp compute.

    PATH_TO/python scripts/make_architecture_models.py --llama-cpp FOLDER

Needs torch, transformers, llama-cpp-python and the llama.cpp sources; writes
tests/golden/architectures/: a small F16 file for each, and log_probabilities.json.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts import dense_architectures, expert_architectures, hybrid_architectures  # noqa: E402

VOCAB, NUM_TOKENS = 64, 40
COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 300.0}
HALF_ROPE = PLAIN_ROPE | {"partial_rotary_factor": 0.5}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 300.0,
    "original_max_position_embeddings": 16,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 1.5, 2.5, 4.0],
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"head_dim": 16}),
    "llama-llama3-rope": ("Llama", {"rope_parameters": LLAMA3_ROPE, "tie_word_embeddings": True}),
    "llama-linear-rope": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}},
    ),
    "llama-yarn-rope": ("Llama", {"rope_parameters": YARN_ROPE}),
    "llama-bias": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("Mistral", {"head_dim": 16, "sliding_window": None}),
    "qwen2": ("Qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
    "qwen2-yarn": ("Qwen2", {"rope_parameters": YARN_ROPE}),
    "qwen3": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "gemma": ("Gemma", {"head_dim": 16}),
    "gemma3": (
        "Gemma3Text",
        {"head_dim": 16, "sliding_window": 8, "num_hidden_layers": 7, "query_pre_attn_scalar": 16},
    ),
    "gemma2": (
        "Gemma2",
        {
            "head_dim": 16,
            "sliding_window": 8,
            "query_pre_attn_scalar": 16,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 4.0,
        },
    ),
    "glm4": (
        "Glm4",
        {"attention_bias": True, "head_dim": 16, "rope_parameters": HALF_ROPE},
    ),
    "command-r": ("Cohere", {"logit_scale": 0.25, "rope_parameters": PLAIN_ROPE}),
    "phi3": ("Phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
    "phi3-window": ("Phi3", {"sliding_window": 8, "rope_parameters": PLAIN_ROPE}),
    "phi3-longrope": (
        "Phi3",
        {"rope_parameters": LONG_ROPE, "original_max_position_embeddings": 16},
    ),
    "granite": (
        "Granite",
        {
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.7,
            "attention_multiplier": 0.2,
        },
    ),
    "smollm3": ("SmolLM3", {"num_hidden_layers": 5}),
    "olmo2": ("Olmo2", {}),
    "starcoder2": ("Starcoder2", {"sliding_window": None}),
    "cohere2": (
        "Cohere2",
        {"head_dim": 8, "rotary_pct": 1.0, "sliding_window": 8, "num_hidden_layers": 5},
    ),
    **dense_architectures.CASES,
    **expert_architectures.CASES,
    **hybrid_architectures.CASES,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "gpt2": {"n_ctx": 128},
    "gptneox": {"rotary_pct": 0.5},
    "granitehybrid": {"layer_types": hybrid_architectures.GRANITE_LAYERS},
    "granitehybrid-moe": {"layer_types": hybrid_architectures.GRANITE_LAYERS},
}
"""What configurations on the Hub say and transformers 5 no longer writes."""


def make_network(family: str, more: dict[str, Any]) -> Any:
    """A transformers model with random weights, norms and biases."""
    import torch  # type: ignore[import-not-found, unused-ignore]
    import transformers

    torch.manual_seed(5)
    config_name = f"{family}Config"
    config = getattr(transformers, config_name)(**{**COMMON, **more})
    head = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    network = getattr(transformers, family.removesuffix("Text") + head)(config)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim >= 2:
                gain = 2.5 if "embed" in name or "lm_head" in name else 1.2
                weight.normal_(0, gain / weight.shape[-1] ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                around = 0.0 if family.startswith("Gemma") else 1.0
                weight.normal_(around, 0.2)
            else:
                weight.normal_(0, 0.3)
        for weight in network.parameters():
            weight.copy_(weight.half().float())
    return network.float().eval()


def convert(
    network: Any,
    folder: Path,
    target: Path,
    llama_cpp: Path,
    outtype: str,
    published: Mapping[str, Any] | None = None,
) -> None:
    """Write `network` as GGUF by llama.cpp's converter, with a vocabulary that needs no files.

    `published` is what configurations on the Hub say and transformers 5 no longer writes.
    """
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import gguf
    import torch  # type: ignore[import-not-found, unused-ignore]
    from conversion import get_model_class  # type: ignore[import-not-found, unused-ignore]
    from conversion.base import ModelBase, get_model_architecture  # type: ignore[import-not-found, unused-ignore]

    network.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {str(i): i for i in range(VOCAB)}}, "added_tokens": []})
    )
    hparams = ModelBase.load_hparams(folder, False) | (published or {})
    kind = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16}[outtype]
    found = get_model_class(get_model_architecture(hparams, _text_type()))

    class WithTokens(found):  # type: ignore[misc, valid-type]
        model_arch = found.model_arch
        no_mtp = True  # layers that predict further tokens

        def set_vocab(self) -> None:
            writer = self.gguf_writer
            writer.add_tokenizer_model("llama")
            writer.add_token_list(["<unk>", "<s>", "</s>", *map(str, range(VOCAB - 3))])
            writer.add_token_scores([0.0] * VOCAB)
            writer.add_token_types([2, 3, 3] + [1] * (VOCAB - 3))

    if hasattr(found, "Ministral3Model"):  # it hands all on to another one
        found.Ministral3Model.set_vocab = WithTokens.set_vocab
    with torch.inference_mode():
        WithTokens(folder, kind, target, hparams=hparams).write()


def _text_type() -> Any:
    from conversion.base import ModelType  # type: ignore[import-not-found, unused-ignore]

    return ModelType.TEXT


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def transformers_logprobs(network: Any, tokens: list[int]) -> np.ndarray:
    """[T, V]"""
    import torch  # type: ignore[import-not-found, unused-ignore]

    with torch.inference_mode():
        logits = network(torch.tensor([tokens])).logits[0].numpy()
    return log_softmax(logits)


def llama_cpp_logprobs(path: Path, tokens: list[int]) -> np.ndarray:
    """[T, V]"""
    from llama_cpp import Llama  # type: ignore[import-not-found, unused-ignore]

    model = Llama(str(path), n_ctx=128, n_threads=2, logits_all=True, verbose=False)
    model.eval(tokens)
    return log_softmax(np.array(model.scores[: len(tokens)]))


def _compared_with_llama_cpp(path: Path, tokens: list[int], reference: np.ndarray) -> str:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            other = pool.submit(llama_cpp_logprobs, path, tokens).result()
        except (ValueError, BrokenProcessPool):  # it knows some by their number of layers alone
            return "llama.cpp does not load it"
    return f"llama.cpp is {np.abs(other - reference).max():.4f} from transformers"


def main() -> None:
    """Make the models that are asked for, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--llama-cpp", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=ROOT / "tests" / "golden" / "architectures")
    parser.add_argument("--only", nargs="*", default=list(CASES))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    record = options.output / "log_probabilities.json"
    golden = json.loads(record.read_text()) if record.exists() else {}
    tokens = np.random.default_rng(3).integers(3, VOCAB, NUM_TOKENS).tolist()
    for name in options.only:
        family, more = CASES[name]
        network = make_network(family, more)
        path = options.output / f"{name}.gguf"
        with tempfile.TemporaryDirectory() as folder:
            published = PUBLISHED.get(name)
            convert(network, Path(folder), path, options.llama_cpp, "f16", published)
        reference = transformers_logprobs(network, tokens)
        print(f"{name}: {_compared_with_llama_cpp(path, tokens, reference)}")
        golden[name] = {
            "tokens": tokens,
            "logprobs": [
                [round(float(value), 4) for value in reference[place]]
                for place in (0, 7, 20, NUM_TOKENS - 1)
            ],
        }
    record.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

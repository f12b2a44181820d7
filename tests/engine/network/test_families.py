"""Families of mlx-lm from their directories: what the engine says is what mlx-lm computes."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from tiny import tiny_network

from engine.kv_cache import probe_layers
from engine.loading import EngineOptions, load_model
from engine.network.model_facts import with_common_names, with_old_names
from engine.network.zoo import build_network, known_families
from engine.request import Request, SamplingParams
from models.errors import InvalidModelFile, Unsupported
from models.resolve import resolve_path
from scripts.check_families import PROMPT, check, generate, is_decided, write_family
from scripts.family_models import make_config

METAL_ONLY = {"bitnet", "muse_spark"}
NOT_MADE = {"prism_hadamard_qwen35"}
"""Its files list their own packed modules."""

UNQUANTIZED = {"afm7"}
KINDS = [
    "afm7",
    "baichuan_m1",
    "gpt2",
    "jamba",
    "lfm2",
    "mamba2",
    "mistral4",
    "plamo3",
    "qwen3_5",
    "qwen3",
]


@pytest.mark.parametrize("family", KINDS)
def test_one_family_of_each_kind_agrees_with_mlx_lm(family: str) -> None:
    """Plain, windowed, hybrid, recurrent, latent; alone, in a batch, behind a known prefix."""
    is_paged = check(family, None).startswith("paged")
    assert is_paged == (family in {"gpt2", "plamo3", "qwen3"})


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(set(known_families()) - METAL_ONLY - NOT_MADE))
@pytest.mark.parametrize("bits", [None, 8])
def test_every_family_agrees_with_mlx_lm(family: str, bits: int | None) -> None:
    if bits is not None and family in UNQUANTIZED:
        pytest.skip("its own layers cannot be quantized in mlx-lm 0.32.2")
    check(family, bits)


def test_sequences_with_state_survive_preemption_and_leave_nothing(tmp_path: Path) -> None:
    write_family(tmp_path, "lfm2", None)
    roomy = load_model(resolve_path(tmp_path), EngineOptions(max_context_tokens=120))
    prompts = tuple(tuple(range(i, i + 50)) for i in range(2, 7))
    expected = [tokens for tokens, _ in generate(roomy, prompts)]
    options = EngineOptions(max_context_tokens=120, kv_cache_bytes=96 << 10, max_step_tokens=24)
    scarce = load_model(resolve_path(tmp_path), options)
    assert [tokens for tokens, _ in generate(scarce, prompts)] == expected
    assert scarce.engine.metrics.num_free_blocks == scarce.engine.metrics.num_blocks


def test_a_family_with_state_gives_no_embeddings_and_takes_no_drafts(tmp_path: Path) -> None:
    write_family(tmp_path, "mamba2", None)
    model = load_model(resolve_path(tmp_path), EngineOptions(max_context_tokens=120))
    assert model.engine.limits.max_draft_tokens == 0
    with pytest.raises(Unsupported, match="embeddings"):
        model.embedder.add("a", [[3, 4]])


def test_scored_prompts_run_with_state_too(tmp_path: Path) -> None:
    network = write_family(tmp_path, "mamba2", None)
    model = load_model(resolve_path(tmp_path), EngineOptions(max_step_tokens=16))
    sampling = SamplingParams(temperature=0, max_tokens=0)
    model.engine.add_request(Request("a", PROMPT, sampling, num_prompt_logprobs=0))
    found = []
    while model.engine.has_unfinished:
        found += [each.logprob for o in model.engine.step() for each in o.prompt_logprobs]
    logits = np.array(network(mx.array([PROMPT]))[0], np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    rows = np.arange(len(PROMPT) - 1)
    assert np.allclose(found, expected[rows, PROMPT[1:]], atol=1e-3)


def test_only_plain_attention_is_paged() -> None:
    assert len(probe_layers(tiny_network())) == 3
    for family in ("afm7", "gemma3n", "iquestloopcoder", "llama4", "qwen3_5"):
        module = __import__(f"mlx_lm.models.{family}", fromlist=[family])
        network = build_network(make_config(module, family))
        with pytest.raises(Unsupported):
            probe_layers(network)


def test_a_family_that_cannot_run_is_refused_with_the_reason() -> None:
    with pytest.raises(Unsupported, match="crashes the process"):
        build_network({"model_type": "phi3small"})
    assert "phi3small" not in known_families()


def test_what_transformers_5_writes_reaches_mlx_lm() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 5e5}
    config = with_old_names({"model_type": "llama", "rope_parameters": yarn})
    assert config["rope_theta"] == 5e5
    assert config["rope_scaling"] == yarn | {"type": "yarn"}
    plain = {"rope_type": "default", "rope_theta": 300.0, "partial_rotary_factor": 0.5}
    config = with_old_names({"text_config": {"rope_parameters": plain}})["text_config"]
    assert (config["rope_theta"], config["partial_rotary_factor"]) == (300.0, 0.5)
    assert config["rope_scaling"] is None
    by_kind = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    config = with_old_names({"rope_parameters": by_kind})
    assert (config["rope_theta"], config["rope_local_base_freq"]) == (1e6, 1e4)


def test_a_configuration_that_lacks_something_is_refused_with_its_name() -> None:
    with pytest.raises(InvalidModelFile, match="num_experts"):
        build_network({"model_type": "qwen3_moe", "hidden_size": 64})


def test_sizes_are_found_under_the_names_of_each_family() -> None:
    facts = with_common_names({"n_embd": 64, "n_head": 4, "n_positions": 256})
    names = ("hidden_size", "num_attention_heads", "max_position_embeddings")
    assert [facts[name] for name in names] == [64, 4, 256]
    nested = with_common_names({"text_config": {"hidden_size": 32, "vocab_size": 9}})
    assert (nested["hidden_size"], nested["vocab_size"]) == (32, 9)


def test_weights_packed_by_others_are_refused_by_name(tmp_path: Path) -> None:
    write_family(tmp_path, "llama", None)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text()) | {"quantization_config": {"quant_method": "gptq"}}
    path.write_text(json.dumps(config))
    with pytest.raises(Unsupported, match="gptq"):
        load_model(resolve_path(tmp_path), EngineOptions())


def test_a_tie_between_experts_leaves_the_answer_to_rounding(tmp_path: Path) -> None:
    network = write_family(tmp_path, "mixtral", None, seed=1)
    assert is_decided(network, PROMPT)
    for layer in network.layers:
        gate = layer.block_sparse_moe.gate
        gate.weight = mx.broadcast_to(gate.weight[:1], gate.weight.shape) * 1.0
    assert not is_decided(network, PROMPT)

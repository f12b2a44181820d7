from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from engine.loading import EngineOptions, load_model
from engine.request import Request, SamplingParams
from models.resolve import resolve_path
from scripts.make_synthetic_model import (
    Shape,
    Tensor,
    list_tensors,
    make_blocks,
    make_vocabulary,
    write_model,
)

SMALL = Shape(
    layers=2, width=256, ffn=512, heads=4, kv_heads=2, head_size=64, vocab=600, context=256
)


@pytest.mark.parametrize("quantization", ["Q4_K", "Q6_K", "Q8_0", "F16"])
def test_random_blocks_have_the_deviation_asked_for(quantization: str) -> None:
    tensor = Tensor("x", 64, 1024, quantization, 0.05)
    blocks = make_blocks(tensor, np.random.default_rng(1))
    weights = dequantize(blocks, GGMLQuantizationType[quantization])
    assert weights.shape == (64, 1024)
    assert abs(weights.std() - 0.05) < 0.005
    assert abs(weights.mean()) < 0.001


def test_the_default_mix_is_that_of_q4_k_m() -> None:
    kinds = {tensor.name: tensor.quantization for tensor in list_tensors(Shape(), "Q4_K_M")}
    better = [name for name, kind in kinds.items() if kind == "Q6_K"]
    assert "output.weight" in better
    assert {name.split(".")[-2] for name in better} == {"output", "attn_v", "ffn_down"}
    assert sum("ffn_down" in name for name in better) == 8


def test_every_token_of_the_vocabulary_can_be_reached() -> None:
    texts, types, merges = make_vocabulary(5000)
    assert len(texts) == len(types) == len(set(texts)) == 5000
    made = set(texts[:256])
    for merge in merges:
        left, right = merge.split(" ")
        assert {left, right} <= made
        made.add(left + right)
    assert made == set(texts[:-4])


def test_the_engine_runs_it_and_its_answers_vary(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.gguf"
    num_bytes = write_model(path, SMALL, "Q4_K_M", seed=0)
    assert path.stat().st_size > num_bytes
    model = load_model(resolve_path(path), EngineOptions(max_context_tokens=128))
    prompt = model.tokenizer.encode("hello there")
    sampling = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True, num_logprobs=0)
    model.engine.add_request(Request("a", tuple(prompt), sampling))
    tokens: list[int] = []
    while model.engine.has_unfinished:
        for output in model.engine.step():
            tokens += output.token_ids
            assert all(-12 < chosen.logprob < 0 for chosen in output.logprobs)
    assert len(set(tokens)) > 10

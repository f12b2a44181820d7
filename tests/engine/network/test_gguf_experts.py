"""How files of the same experts may differ: fused tensors, left out ones, further layers, yarn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from engine.loading import EngineOptions, load_model
from engine.network.gguf_config import config_from_gguf
from engine.request import Request, SamplingParams
from models.errors import Unsupported
from models.formats.gguf import read_gguf
from models.resolve import resolve_path

GOLDEN = Path(__file__).parents[2] / "golden" / "architectures"
Tensors = dict[str, np.ndarray[Any, Any]]
PROMPT = (5, 9, 33, 2, 17, 60, 41)


def rewritten(
    name: str, path: Path, edit: Callable[[Tensors], Tensors], **values: int | float | bool
) -> Path:
    """A golden model with other tensors and some metadata added or replaced."""
    reader = gguf.GGUFReader(GOLDEN / f"{name}.gguf")
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    replaced = {f"{architecture}.{key.replace('__', '.')}": value for key, value in values.items()}
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture" or key in replaced:
            continue
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        sub_type = field.types[-1] if is_array else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type)
    for key, value in replaced.items():
        kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        kinds[type(value)](key, value)
    shapes = {tensor.name: tensor.data for tensor in reader.tensors}
    for tensor_name, data in edit(shapes).items():
        writer.add_tensor(tensor_name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logprobs(path: Path) -> dict[int, float]:
    engine = load_model(resolve_path(path), EngineOptions(max_context_tokens=64)).engine
    sampling = SamplingParams(temperature=0, max_tokens=1, num_logprobs=20, ignore_eos=True)
    engine.add_request(Request("a", PROMPT, sampling))
    found: dict[int, float] = {}
    while engine.has_unfinished:
        for output in engine.step():
            found.update(pair for chosen in output.logprobs for pair in chosen.alternatives)
    return found


def test_gate_and_up_in_one_tensor_are_taken_apart(tmp_path: Path) -> None:
    def fuse(tensors: Tensors) -> Tensors:
        made = dict(tensors)
        for name in tensors:
            if "ffn_gate_exps" in name:
                parts = [made.pop(name), made.pop(name.replace("gate", "up"))]
                made[name.replace("gate_exps", "gate_up_exps")] = np.concatenate(parts, axis=1)
        return made

    path = rewritten("qwen3moe", tmp_path / "m.gguf", fuse)
    assert "blk.0.ffn_gate_up_exps.weight" in read_gguf(path).tensors
    assert logprobs(path) == logprobs(GOLDEN / "qwen3moe.gguf")


def test_heads_that_are_not_split_give_the_same(tmp_path: Path) -> None:
    """Older files have the expansion of the latent in one matrix, and sizes of whole heads."""

    def join(tensors: Tensors) -> Tensors:
        made = dict(tensors)
        for name in tensors:
            if "attn_k_b" in name:
                keys = made.pop(name).swapaxes(1, 2)
                values = made.pop(name.replace("attn_k_b", "attn_v_b"))
                both = np.concatenate([keys, values], axis=1)
                made[name.replace("attn_k_b", "attn_kv_b")] = both.reshape(-1, both.shape[-1])
        return made

    for name in ("deepseek2", "deepseek3"):
        sizes = {"attention__key_length": 24, "attention__value_length": 16}
        path = rewritten(name, tmp_path / f"{name}.gguf", join, **sizes)
        expected = logprobs(GOLDEN / f"{name}.gguf")
        found = logprobs(path)
        assert found.keys() == expected.keys()
        assert all(abs(found[token] - expected[token]) < 5e-3 for token in found)


def test_layers_that_predict_further_tokens_are_left_out(tmp_path: Path) -> None:
    def add(tensors: Tensors) -> Tensors:
        extra = {"blk.3.nextn.eh_proj.weight": np.ones((32, 64), np.float32)}
        return tensors | extra | {"blk.3.attn_norm.weight": np.ones(32, np.float32)}

    path = rewritten("deepseek3", tmp_path / "m.gguf", add, block_count=4, nextn_predict_layers=1)
    assert logprobs(path) == logprobs(GOLDEN / "deepseek3.gguf")


def test_the_bias_of_the_choice_may_be_missing(tmp_path: Path) -> None:
    def drop(tensors: Tensors) -> Tensors:
        return {name: data for name, data in tensors.items() if "exp_probs_b" not in name}

    def zero(tensors: Tensors) -> Tensors:
        return {n: data * (0 if "exp_probs_b" in n else 1) for n, data in tensors.items()}

    without = rewritten("deepseek3", tmp_path / "without.gguf", drop)
    assert logprobs(without) == logprobs(rewritten("deepseek3", tmp_path / "zero.gguf", zero))


def test_unknown_gating_is_refused(tmp_path: Path) -> None:
    path = rewritten("deepseek3", tmp_path / "m.gguf", dict, expert_gating_func=4)
    with pytest.raises(Unsupported, match="gating function 4"):
        config_from_gguf(read_gguf(path))


def test_published_gpt_oss_does_not_round_its_ramp(tmp_path: Path) -> None:
    published = config_from_gguf(read_gguf(GOLDEN / "gpt-oss.gguf"))["rope_scaling"]
    assert published["truncate"] is False
    path = rewritten("gpt-oss", tmp_path / "m.gguf", dict, rope__scaling__factor=8.0)
    assert "truncate" not in config_from_gguf(read_gguf(path))["rope_scaling"]

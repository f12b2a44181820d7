"""Files that parse but whose tensors are not those of their architecture are refused by name."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from engine.network_loading import load_network
from models.errors import InvalidModelFile, Unsupported
from models.resolve import resolve_path

GOLDEN = Path(__file__).parents[2] / "golden" / "architectures"


def rewritten(
    source: str, target: Path, *, tensors: dict[str, Any] | None = None, **values: Any
) -> Path:
    """A golden file with some tensors and values replaced, or left out where they are None.

    A tensor is given by its shape.
    """
    reader = gguf.GGUFReader(GOLDEN / f"{source}.gguf")
    changed = {key.replace("__", "."): value for key, value in values.items()}
    architecture = changed.pop("architecture", reader.fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        name = field.name.partition(".")[2]
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        if name not in changed:
            kinds = field.types
            item = kinds[-1] if len(kinds) > 1 else None
            writer.add_key_value(field.name, field.contents(), kinds[0], item)
        elif changed[name] is not None:
            writer.add_key_value(field.name, changed[name], field.types[0])
    arrays: dict[str, Any] = {tensor.name: tensor.data for tensor in reader.tensors}
    arrays |= {
        name: None if shape is None else np.ones(shape, np.float32)
        for name, shape in (tensors or {}).items()
    }
    for name, array in arrays.items():
        if array is not None:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "architecture unknown": ("llama", {"architecture": "lama"}, "'lama' is not known"),
    "architecture of another": ("llama", {"architecture": "qwen2"}, "is missing"),
    "embedding missing": ("llama", {"tensors": {"token_embd.weight": None}}, "token_embd.weight"),
    "embedding of one row less in width": (
        "llama",
        {"tensors": {"token_embd.weight": (64, 31)}},
        "has 31 columns, not 32",
    ),
    "last norm missing": ("llama", {"tensors": {"output_norm.weight": None}}, "lacks weights"),
    "a layer's matrix missing": (
        "llama",
        {"tensors": {"blk.1.ffn_up.weight": None}},
        "lacks weights: model.layers.1.mlp.up_proj",
    ),
    "matrix too wide": (
        "llama",
        {"tensors": {"blk.0.ffn_up.weight": (64, 64)}},
        "the file has 64 x 64 weights",
    ),
    "matrix of three dimensions": (
        "llama",
        {"tensors": {"blk.0.ffn_up.weight": (2, 64, 32)}},
        "blk.0.ffn_up|mlp.up_proj",
    ),
    "matrix of one dimension": (
        "llama",
        {"tensors": {"blk.0.ffn_up.weight": (32,)}},
        "up_proj",
    ),
    "norm of another size": (
        "llama",
        {"tensors": {"blk.0.attn_norm.weight": (33,)}},
        "the file has shape",
    ),
    "norm that is a matrix": (
        "llama",
        {"tensors": {"blk.0.attn_norm.weight": (32, 32)}},
        "the file has shape",
    ),
    "tensor that nobody knows": (
        "llama",
        {"tensors": {"blk.0.surprise.weight": (32, 32)}},
        "'blk.0.surprise.weight' is not known",
    ),
    "bias that nobody asked for": (
        "qwen3",
        {"tensors": {"blk.0.attn_q.bias": (64,)}},
        "q_proj.bias",
    ),
    "experts of another number": (
        "qwen3moe",
        {"tensors": {"blk.0.ffn_up_exps.weight": (4, 32, 32)}},
        "4 x 32 x 32",
    ),
    "more experts chosen than there are": (
        "mixtral",
        {"expert_used_count": 6},
        "6 of 5 experts",
    ),
    "no experts chosen": ("mixtral", {"expert_used_count": 0}, "0 of 5 experts"),
    "heads that do not share keys evenly": (
        "llama",
        {"attention__head_count_kv": 3},
        "rows|weights|heads",
    ),
    "a window of nothing": ("gemma3", {"attention__sliding_window": 0}, "sliding_window"),
    "state of no size": ("mamba2", {"ssm__state_size": 0}, "ssm.state_size"),
    "inner size that heads do not divide": ("mamba2", {"ssm__inner_size": 65}, "8 heads"),
    "no attending layer where one must be": (
        "qwen35",
        {"full_attention_interval": 2},
        "layer 1 is not of the kind",
    ),
    "more heads of state than rows": (
        "qwen35",
        {"ssm__group_count": 2**20},
        "does not have 33554464 rows",
    ),
    "experts from a later layer on": (
        "lfm2moe",
        {"leading_dense_block_count": 3},
        "feed_forward",
    ),
    "two experts where one is known": ("llama4", {"expert_used_count": 2}, "more than one expert"),
    "inner size of another layer": ("jamba", {"ssm__inner_size": 64 * 512}, "mamba"),
    "interval of nothing": ("qwen35", {"full_attention_interval": 0}, "full_attention_interval"),
    "pattern of the wrong length": (
        "olmo3",
        {"attention__sliding_window_pattern": None},
        "sliding_window_pattern|layer",
    ),
    "shared layers without end": (
        "gemma4",
        {"attention__shared_kv_layers": 99},
        "shared_kv_layers",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_whose_parts_do_not_fit_is_refused_by_name(tmp_path: Path, case: str) -> None:
    source, changes, reason = CASES[case]
    path = rewritten(source, tmp_path / "bad.gguf", **changes)
    with pytest.raises((InvalidModelFile, Unsupported), match=reason) as caught:
        load_network(resolve_path(path))
    assert "\n" not in caught.value.message


def test_a_rewritten_file_that_changes_nothing_loads(tmp_path: Path) -> None:
    loaded = load_network(resolve_path(rewritten("mixtral", tmp_path / "good.gguf")))
    assert loaded.config["num_local_experts"] == 5

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from engine.network.gguf_config import config_from_gguf
from engine.network.gguf_names import module_paths
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import GGUFFile, read_gguf

ARCHITECTURES = Path(__file__).parents[2] / "golden" / "architectures"


def write(path: Path, architecture: str, values: dict[str, Any], tensors: dict[str, Any]) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        name = key.replace("{}", architecture)
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, value)
    for name, shape in tensors.items():
        writer.add_tensor(name, np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


VALUES: dict[str, Any] = {
    "{}.block_count": 1,
    "{}.context_length": 64,
    "{}.embedding_length": 32,
    "{}.feed_forward_length": 64,
    "{}.attention.head_count": 4,
    "{}.attention.head_count_kv": 2,
    "{}.attention.layer_norm_rms_epsilon": 1e-5,
}
TENSORS = {
    "token_embd.weight": (50, 32),
    "output_norm.weight": (32,),
    "blk.0.attn_norm.weight": (32,),
}


def read(
    tmp_path: Path, changes: dict[str, Any] | None = None, *, architecture: str = "llama"
) -> GGUFFile:
    values = VALUES | {f"{{}}.{key}": value for key, value in (changes or {}).items()}
    values = {key: value for key, value in values.items() if value is not None}
    return read_gguf(write(tmp_path / "m.gguf", architecture, values, TENSORS))


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"'nonsense'.*llama.*qwen3"):
        config_from_gguf(read(tmp_path, architecture="nonsense"))


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match=r"llama\.block_count"):
        config_from_gguf(read(tmp_path, {"block_count": None}))


def test_a_value_of_another_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match=r"llama\.block_count"):
        config_from_gguf(read(tmp_path, {"block_count": "many"}))


def test_sizes_come_from_metadata_and_the_vocabulary_from_the_embedding(tmp_path: Path) -> None:
    config = config_from_gguf(read(tmp_path))
    assert config["model_type"] == "llama"
    assert (config["vocab_size"], config["head_dim"]) == (50, 8)
    assert config["tie_word_embeddings"]
    assert config["rope_theta"] == 10_000.0
    assert config["rope_scaling"] is None


@pytest.mark.parametrize("key", ["rope.scale_linear", "rope.scaling.factor"])
def test_linear_rope_scaling_has_an_old_name_and_a_new_one(tmp_path: Path, key: str) -> None:
    config = config_from_gguf(read(tmp_path, {key: 4.0}))
    assert config["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}


def test_unknown_rope_scaling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="spiral"):
        config_from_gguf(read(tmp_path, {"rope.scaling.type": "spiral"}))


def test_a_llama_file_with_experts_is_a_mixtral(tmp_path: Path) -> None:
    config = config_from_gguf(read(tmp_path, {"expert_count": 8, "expert_used_count": 2}))
    assert config["model_type"] == "mixtral"
    assert (config["num_local_experts"], config["num_experts_per_tok"]) == (8, 2)


def test_one_head_count_for_each_layer_counts_where_all_are_equal(tmp_path: Path) -> None:
    same = read(tmp_path, {"attention.head_count_kv": [2, 2]})
    assert config_from_gguf(same)["num_key_value_heads"] == 2
    differing = read(tmp_path, {"attention.head_count_kv": [2, 4]})
    with pytest.raises(InvalidModelFile, match="head_count_kv"):
        config_from_gguf(differing)


def test_a_tensor_of_another_architecture_is_named(tmp_path: Path) -> None:
    tensors = TENSORS | {"blk.0.ssm_conv1d.weight": (4, 4)}
    file = read_gguf(write(tmp_path / "m.gguf", "llama", VALUES, tensors))
    with pytest.raises(InvalidModelFile, match=r"blk\.0\.ssm_conv1d\.weight"):
        module_paths(file, config_from_gguf(file))


def test_rows_of_llama_go_back_from_pairs_to_halves() -> None:
    file = read_gguf(ARCHITECTURES / "llama.gguf")
    config = config_from_gguf(file)
    order = module_paths(file, config)["blk.0.attn_q.weight"].row_order
    assert order is not None
    halves = np.arange(config["num_attention_heads"] * config["head_dim"])
    pairs = halves.reshape(-1, 2, config["head_dim"] // 2).swapaxes(1, 2).reshape(-1)
    assert np.array_equal(pairs[order], halves)
    assert module_paths(file, config)["blk.0.attn_v.weight"].row_order is None


def test_rope_factors_divide_frequencies_one_by_one() -> None:
    file = read_gguf(ARCHITECTURES / "llama-llama3-rope.gguf")
    scaling = config_from_gguf(file)["rope_scaling"]
    assert len(scaling["long_factor"]) == config_from_gguf(file)["head_dim"] // 2
    assert scaling["long_factor"][0] == 1.0
    assert "rope_freqs.weight" not in module_paths(file, config_from_gguf(file))


def test_metadata_that_is_no_string_array_is_refused() -> None:
    metadata = Metadata({"general.architecture": "llama", "a": np.array([1]), "b": ["x"]})
    assert metadata.strings("b") == ["x"]
    assert metadata.strings("c") == []
    assert metadata.array("c") is None
    with pytest.raises(InvalidModelFile, match="strings"):
        metadata.strings("a")
    with pytest.raises(InvalidModelFile, match="numbers"):
        metadata.array("b")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"block_count": 2**29}, "announces 536870912 layers, 1 have tensors"),
        ({"block_count": 0}, "block_count' is 0"),
        ({"nextn_predict_layers": 1}, "announces 0 layers"),
        ({"embedding_length": 64}, "has 32 columns, not 64"),
        ({"embedding_length": 2**32 - 1}, "embedding_length' is 4294967295"),
        ({"attention.head_count": 0}, "head_count' is 0"),
        ({"attention.head_count": 2**30}, "key_length' is 0"),
        ({"attention.head_count_kv": 2**30}, "too many"),
        ({"attention.key_length": 2**30}, "too many"),
        ({"context_length": 0}, "context_length' is 0"),
        ({"rope.freq_base": 0.0}, "must be positive"),
        ({"rope.freq_base": float("nan")}, "must be positive"),
        ({"attention.head_count": "four"}, "must be a single int"),
        ({"attention.head_count_kv": [2, 3]}, "must be a single int"),
    ],
)
def test_sizes_that_no_network_has_are_refused_before_it_is_built(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidModelFile, match=reason):
        config_from_gguf(read(tmp_path, changes))


def test_heads_that_cannot_be_turned_by_pairs_are_refused(tmp_path: Path) -> None:
    file = read_gguf(
        write(
            tmp_path / "m.gguf",
            "llama",
            VALUES | {"{}.attention.key_length": 7},
            TENSORS | {"blk.0.attn_q.weight": (28, 32)},
        )
    )
    with pytest.raises(InvalidModelFile, match="pairs"):
        module_paths(file, config_from_gguf(file))


def test_rows_that_are_not_those_of_the_heads_are_refused(tmp_path: Path) -> None:
    tensors = TENSORS | {"blk.0.attn_q.weight": (40, 32)}
    file = read_gguf(write(tmp_path / "m.gguf", "llama", VALUES, tensors))
    with pytest.raises(InvalidModelFile, match="has 40 rows, not 32"):
        module_paths(file, config_from_gguf(file))

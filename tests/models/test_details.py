"""What a model says of itself, from GGUF and from MLX files."""

import json
from pathlib import Path

import pytest

from models.details import describe, find_capabilities, format_count
from models.errors import InvalidModelFile
from models.fit import cache_token_bytes
from models.formats.mlx_metadata import mlx_metadata
from models.resolve import resolve_path
from tests.models import gguf_writer as w
from tests.models.safetensors_writer import write_mlx


def test_a_gguf_model_is_described_from_its_header(tmp_path: Path) -> None:
    found = describe(resolve_path(w.write_llama(tmp_path / "tiny.gguf")))
    assert found.details.architecture == "llama"
    assert found.details.quantization == "Q4_K_M"
    assert found.details.context_length == 2048
    assert found.details.embedding_length == 256
    assert found.details.capabilities == ("completion", "tools", "thinking")
    assert found.parameter_count == 8 * 256 + 16 * 512 + 256 + 2 * 3 * 64
    assert found.details.parameter_count == "10.88K"
    assert [tensor.name for tensor in found.tensors] == list(w.WEIGHTS)


def test_model_info_is_json_without_long_arrays(tmp_path: Path) -> None:
    metadata = w.LLAMA | {"tokenizer.ggml.scores": [0.5] * 6}
    path = tmp_path / "tiny.gguf"
    path.write_bytes(w.model_bytes(metadata, w.WEIGHTS))
    found = describe(resolve_path(path))
    info = json.loads(json.dumps(found.model_info()))
    assert info["general.architecture"] == "llama"
    assert info["general.parameter_count"] == found.parameter_count
    assert info["tokenizer.ggml.scores"] == []
    assert info["tokenizer.ggml.tokens"] == ["<s>", "</s>", "a", "é"]
    assert "tokenizer.chat_template" not in info
    assert "general.name" not in info
    assert found.model_info(verbose=True)["tokenizer.ggml.scores"] == [0.5] * 6


def test_without_a_file_type_the_commonest_format_is_the_label(tmp_path: Path) -> None:
    metadata = {key: value for key, value in w.LLAMA.items() if key != "general.file_type"}
    path = tmp_path / "tiny.gguf"
    path.write_bytes(w.model_bytes(metadata, w.WEIGHTS))
    assert describe(resolve_path(path)).details.quantization == "Q4_K"


def test_a_gguf_file_without_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(w.model_bytes({"general.name": "x"}, w.WEIGHTS))
    with pytest.raises(InvalidModelFile, match=r"general\.architecture is missing"):
        describe(resolve_path(path))


def test_an_mlx_model_counts_its_weights_before_packing(tmp_path: Path) -> None:
    found = describe(resolve_path(write_mlx(tmp_path, shards=2)))
    assert found.parameter_count == 2 * (16 * 64 + 64)
    assert found.details.quantization == "4-bit"
    assert found.details.context_length == 4096
    assert found.details.capabilities == ("completion", "tools")
    assert found.model_info()["llama.attention.head_count_kv"] == 2
    assert found.template == "{{ messages }}{{ tools }}"


def test_experts_are_counted_in_either_format(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "architectures"
    assert describe(resolve_path(golden / "qwen3moe.gguf")).experts == "5, 2 for each token"
    assert describe(resolve_path(golden / "llama.gguf")).experts == ""
    write_mlx(tmp_path)
    path = tmp_path / "config.json"
    experts = {"num_local_experts": 32, "num_experts_per_tok": 4}
    path.write_text(json.dumps(json.loads(path.read_text()) | experts))
    assert describe(resolve_path(tmp_path)).experts == "32, 4 for each token"


def test_latents_are_what_such_a_cache_keeps() -> None:
    config = {"num_hidden_layers": 2, "num_attention_heads": 16, "hidden_size": 2048}
    latent = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}
    sizes = {**config, **latent, "v_head_dim": 128}
    kept = cache_token_bytes(mlx_metadata("deepseek_v3", sizes))
    assert kept == 2 * (576 + 512) * 2
    expanded = cache_token_bytes(mlx_metadata("deepseek_v2", sizes))
    assert expanded == 2 * 16 * (192 + 128) * 2


def test_a_template_file_comes_before_the_tokenizers(tmp_path: Path) -> None:
    write_mlx(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("own")
    assert describe(resolve_path(tmp_path)).template == "own"


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\xff"])
def test_a_broken_config_is_named(tmp_path: Path, text: str) -> None:
    write_mlx(tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidModelFile, match=r"config\.json"):
        describe(resolve_path(tmp_path))


def test_embedding_models_complete_nothing() -> None:
    assert find_capabilities("bert", None, pooled=False) == ("embedding",)
    assert find_capabilities("qwen3", None, pooled=True) == ("embedding",)
    fills = find_capabilities("qwen2", None, pooled=False, fills_gaps=True)
    assert fills == ("completion", "insert")
    assert find_capabilities("llama", None, pooled=False) == ("completion",)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1_500, "1.50K"), (7_615_616_512, "7.6B"), (70_553_706_496, "70.6B")],
)
def test_counts_are_written_as_on_model_cards(count: int, text: str) -> None:
    assert format_count(count) == text

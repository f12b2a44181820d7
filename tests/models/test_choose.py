"""Which files of a repository make up the model that was asked for."""

import pytest

from models.errors import InvalidInput, NotFound, Unsupported
from models.hub.catalogue import CATALOGUE_DATE, ENTRIES, find_entry
from models.hub.choose import Choice, choose_files, find_label
from models.hub.pull import find_target
from models.hub.snapshot import HubFile
from models.name import ModelName


def choose(names: list[str], wanted: str | None = None) -> Choice:
    files = [HubFile(name, 1, "0" * 40, None) for name in names]
    return choose_files(files, "org/repo", wanted)


def paths(choice: Choice) -> list[str]:
    return [file.path for _, file in choice.files]


BARTOWSKI = [
    ".gitattributes", "README.md", "L-3B.imatrix", "L-3B-Q8_0.gguf", "L-3B-Q4_K_M.gguf",
    "L-3B-IQ4_XS.gguf", "L-3B-f16.gguf", "L-3B-Q4_0_4_4.gguf", "L-3B-Q4_K_S.gguf",
]  # fmt: skip
UNSLOTH = [
    "gemma-UD-Q4_K_XL.gguf", "gemma-BF16.gguf", "mmproj-F16.gguf", "mmproj-BF16.gguf",
    "config.json", "imatrix_unsloth.gguf",
    "BF16/gemma-BF16-00001-of-00002.gguf", "BF16/gemma-BF16-00002-of-00002.gguf",
]  # fmt: skip
MLX = [
    "README.md", ".gitattributes", "config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "model.safetensors.index.json",
    "generation_config.json", "merges.txt", "vocab.json", "chat_template.jinja", "LICENSE",
    "consolidated.safetensors", "original/model.safetensors", "modeling.py", "image.png",
    "pytorch_model.bin", "tokenizer.model",
]  # fmt: skip


@pytest.mark.parametrize(
    ("stem", "label"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M", "Q4_K_M"),
        ("tinyllama-1.1b-chat-v1.0.Q5_K_S", "Q5_K_S"),
        ("qwen2.5-7b-instruct-q4_k_m", "q4_k_m"),
        ("gemma-3-4b-it-UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("phi-IQ4_XS", "IQ4_XS"),
        ("x-IQ2_XXS", "IQ2_XXS"),
        ("nomic-embed-text-v1.5.f16", "f16"),
        ("gpt-oss-20b-mxfp4", "mxfp4"),
        ("gpt-oss-20b-MXFP4_MOE", "MXFP4_MOE"),
        ("model-BF16", "BF16"),
        ("model-Q4_0_4_4", "Q4_0_4_4"),
        ("bitnet-TQ2_0", "TQ2_0"),
        ("plain", ""),
        ("Q-star-7B", ""),
    ],
)
def test_a_file_name_ends_in_its_quantization(stem: str, label: str) -> None:
    assert find_label(stem) == label


def test_without_a_wish_it_is_q4_k_m() -> None:
    choice = choose(BARTOWSKI)
    assert (choice.format, choice.label, paths(choice)) == ("gguf", "Q4_K_M", ["L-3B-Q4_K_M.gguf"])
    assert choose(UNSLOTH).label == "UD-Q4_K_XL"
    assert choose(["m-Q2_K.gguf", "m-Q8_0.gguf"]).label == "Q8_0"
    assert choose(["only.gguf"]).label == ""


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("q8_0", "L-3B-Q8_0.gguf"),
        ("F16", "L-3B-f16.gguf"),
        ("l-3b-iq4_xs.GGUF", "L-3B-IQ4_XS.gguf"),
        ("L-3B-Q4_K_S", "L-3B-Q4_K_S.gguf"),
    ],
)
def test_a_wish_is_a_quantization_or_a_file_in_any_case(wanted: str, path: str) -> None:
    assert paths(choose(BARTOWSKI, wanted)) == [path]


def test_a_wish_may_leave_out_the_prefix_of_a_label() -> None:
    assert choose(UNSLOTH, "q4_k_xl").label == "UD-Q4_K_XL"


def test_all_shards_are_taken_in_order() -> None:
    names = [f"big-Q8_0-{index:05d}-of-00003.gguf" for index in (3, 1, 2)]
    choice = choose([*names, "big-Q4_K_M.gguf"], "Q8_0")
    assert paths(choice) == sorted(names)
    assert {role for role, _ in choice.files} == {"shard"}
    assert paths(choose(names, names[1])) == sorted(names)


def test_missing_shards_are_told() -> None:
    with pytest.raises(NotFound, match="1 of the 2 shards"):
        choose(["big-Q8_0-00001-of-00002.gguf"])


def test_a_whole_file_comes_before_the_same_in_shards() -> None:
    names = ["q-q4_k_m.gguf", "q-q4_k_m-00001-of-00002.gguf", "q-q4_k_m-00002-of-00002.gguf"]
    assert paths(choose(names)) == ["q-q4_k_m.gguf"]
    assert paths(choose(UNSLOTH, "BF16")) == ["gemma-BF16.gguf"]


def test_an_unknown_wish_lists_what_there_is() -> None:
    with pytest.raises(NotFound, match="no GGUF file called 'Q4_K_N'") as caught:
        choose(BARTOWSKI, "Q4_K_N")
    hint = str(caught.value.hint)
    assert "Did you mean Q4_K_M or Q4_K_S" in hint
    assert "IQ4_XS" in hint


def test_two_models_of_one_quantization_are_ambiguous() -> None:
    with pytest.raises(InvalidInput, match=r"2 models are called 'Q4_K_M': a-Q4_K_M\.gguf, b-"):
        choose(["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"])


def test_a_safetensors_repository_gives_only_what_loading_needs() -> None:
    choice = choose(MLX)
    roles = {file.path: role for role, file in choice.files}
    assert choice.format == "mlx"
    assert roles == {
        "LICENSE": "license",
        "chat_template.jinja": "tokenizer",
        "config.json": "config",
        "generation_config.json": "config",
        "merges.txt": "tokenizer",
        "model.safetensors": "model",
        "model.safetensors.index.json": "config",
        "special_tokens_map.json": "tokenizer",
        "tokenizer.json": "tokenizer",
        "tokenizer.model": "tokenizer",
        "tokenizer_config.json": "tokenizer",
        "vocab.json": "tokenizer",
    }
    with pytest.raises(NotFound, match="nothing in it is called 'Q4'"):
        choose(MLX, "Q4")


@pytest.mark.parametrize("names", [[], ["pytorch_model.bin", "config.json"], ["mmproj-F16.gguf"]])
def test_a_repository_without_a_loadable_model_is_refused(names: list[str]) -> None:
    with pytest.raises(Unsupported, match="no GGUF file, and no config"):
        choose(names)


SIZES = {"m-Q8_0.gguf": 80, "m-Q4_K_M.gguf": 45, "m-Q3_K_M.gguf": 35, "m-Q2_K.gguf": 30}


@pytest.mark.parametrize(
    ("max_bytes", "label"),
    [(None, "Q4_K_M"), (1000, "Q4_K_M"), (45, "Q4_K_M"), (44, "Q3_K_M"), (30, "Q2_K"), (1, "Q2_K")],
)
def test_memory_decides_and_the_fixed_order_among_what_fits(
    max_bytes: int | None, label: str
) -> None:
    files = [HubFile(name, size, "0" * 40, None) for name, size in SIZES.items()]
    assert choose_files(files, "org/repo", None, max_bytes=max_bytes).label == label
    assert choose_files(files, "org/repo", "q8_0", max_bytes=1).label == "Q8_0"


def test_shards_count_together_against_memory() -> None:
    names = ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf", "m-Q2_K.gguf"]
    files = [HubFile(name, 10, "0" * 40, None) for name in names]
    assert choose_files(files, "org/repo", None, max_bytes=15).label == "Q2_K"
    assert choose_files(files, "org/repo", None, max_bytes=20).weight_bytes == 20


def test_catalogue_names_lead_to_repositories() -> None:
    target = find_target(ModelName.parse("Llama3.2:1B"))
    assert target.repo == "bartowski/Llama-3.2-1B-Instruct-GGUF"
    assert target.wanted == "Q4_K_M"
    assert target.name.display == "Llama3.2:1B"
    assert find_entry(ModelName.parse("hf.co/x/llama3.2")) is None


def test_every_entry_is_reachable_and_explained() -> None:
    assert CATALOGUE_DATE
    for entry in ENTRIES:
        assert find_entry(ModelName.parse(f"{entry.name}:{entry.tag}")) == entry
        assert entry.repo.count("/") == 1
        assert entry.reason


def test_hub_names_lead_to_their_repository() -> None:
    target = find_target(ModelName.parse("org/repo:q8_0"))
    assert (target.name.display, target.repo, target.wanted) == (
        "hf.co/org/repo:q8_0", "org/repo", "q8_0",
    )  # fmt: skip
    assert find_target(ModelName.parse("hf.co/org/repo")).wanted is None


@pytest.mark.parametrize("text", ["lama3.2", "llama3.2:2b", "qwen33:4b"])
def test_a_misspelt_short_name_is_refused_with_near_ones(text: str) -> None:
    with pytest.raises(NotFound, match="not in the catalogue") as caught:
        find_target(ModelName.parse(text))
    assert "Did you mean" in str(caught.value.hint)

"""Names: the grammar, its defaults, how they are shown and what is near."""

import pytest

from models.errors import InvalidInput
from models.name import ModelName, near_names

HOST, SPACE = "registry.ollama.ai", "library"


@pytest.mark.parametrize(
    ("text", "parts", "shown"),
    [
        ("pocket", (HOST, SPACE, "pocket", "latest"), "pocket:latest"),
        ("llama3.2:1b", (HOST, SPACE, "llama3.2", "1b"), "llama3.2:1b"),
        ("  Qwen3:4B ", (HOST, SPACE, "Qwen3", "4B"), "Qwen3:4B"),
        ("alice/mine", (HOST, "alice", "mine", "latest"), "alice/mine:latest"),
        ("library/x", (HOST, SPACE, "x", "latest"), "x:latest"),
        (f"{HOST}/library/x:y", (HOST, SPACE, "x", "y"), "x:y"),
        ("hf.co/org/repo", ("hf.co", "org", "repo", "latest"), "hf.co/org/repo:latest"),
        ("hf.co/Org/R-1.5_b:Q4_K_M", ("hf.co", "Org", "R-1.5_b", "Q4_K_M"),
         "hf.co/Org/R-1.5_b:Q4_K_M"),
        ("huggingface.co/o/r", ("hf.co", "o", "r", "latest"), "hf.co/o/r:latest"),
        ("HF.CO/o/r", ("hf.co", "o", "r", "latest"), "hf.co/o/r:latest"),
        ("https://huggingface.co/o/r", ("hf.co", "o", "r", "latest"), "hf.co/o/r:latest"),
        ("https://huggingface.co/o/r/", ("hf.co", "o", "r", "latest"), "hf.co/o/r:latest"),
        ("https://huggingface.co/o/r/tree/main", ("hf.co", "o", "r", "latest"),
         "hf.co/o/r:latest"),
        ("https://huggingface.co/o/r/blob/main/a/m-Q8_0.gguf?download=true",
         ("hf.co", "o", "r", "m-Q8_0.gguf"), "hf.co/o/r:m-Q8_0.gguf"),
        ("hf://o/r", ("hf.co", "o", "r", "latest"), "hf.co/o/r:latest"),
        ("localhost:5000/a/b:c", ("localhost:5000", "a", "b", "c"), "localhost:5000/a/b:c"),
        ("a" * 96, (HOST, SPACE, "a" * 96, "latest"), "a" * 96 + ":latest"),
    ],
)  # fmt: skip
def test_a_name_parses_and_shows_as_documented(
    text: str, parts: tuple[str, ...], shown: str
) -> None:
    name = ModelName.parse(text)
    assert (name.host, name.namespace, name.model, name.tag) == parts
    assert name.display == shown
    assert ModelName.parse(name.display) == name


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ":", ":tag", "a:", "/a", "a/", "a//b", "a/b/c/d", "a b", "-a", ".a", "..", "../a",
        "a/../b", "a:b:c", "a:b/c", "a\0b", "ü", "a" * 97, "a:" + "t" * 201, "n.s/a", "a\nb",
        "ftp://hf.co/o/r", "a\\b", "~/x", "a:.t", "%2e%2e/a",
    ],
)  # fmt: skip
def test_what_is_not_a_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid model name") as caught:
        ModelName.parse(text)
    assert caught.value.hint


def test_names_match_without_case_and_keep_it() -> None:
    assert ModelName.parse("Qwen3:4B").matches(ModelName.parse("qwen3:4b"))
    assert not ModelName.parse("qwen3:4b").matches(ModelName.parse("qwen3:8b"))


def test_only_a_two_part_name_may_also_mean_the_hub() -> None:
    assert str(ModelName.parse("org/repo:Q8_0").as_hub()) == "hf.co/org/repo:Q8_0"
    assert ModelName.parse("pocket").as_hub() is None
    assert ModelName.parse("hf.co/org/repo").as_hub() is None


def test_near_names_are_ranked_and_far_ones_left_out() -> None:
    names = ["llama3.2:1b", "llama3.2:3b", "qwen3:4b", "hf.co/bartowski/Llama-3.2-1B-GGUF:Q4_K_M"]
    assert near_names("llama3.2:3", names)[0] == "llama3.2:3b"
    assert near_names("quen3", names) == ["qwen3:4b"]
    assert near_names("llama-3.2-1b-gguf", names)[0].startswith("hf.co/")
    assert near_names("zzz", names) == []

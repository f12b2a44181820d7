from app.tui.model_state import (
    ModelState,
    display_name,
    parse_choices,
    same_model,
    shorten,
)


def test_names_are_shown_without_the_default_tag() -> None:
    assert display_name("pocket:latest") == "pocket"
    assert display_name("qwen3:8b") == "qwen3:8b"
    assert display_name("/models/tiny.gguf") == "tiny.gguf"
    assert display_name("") == ""


def test_one_model_may_have_several_names() -> None:
    assert same_model("pocket", "pocket:latest")
    assert same_model("/models/tiny.gguf", "tiny")
    assert not same_model("qwen3:8b", "qwen3:4b")


def test_the_label_says_quantization_or_phase() -> None:
    assert ModelState("pocket", "loading").label(max_chars=40) == "pocket loading"
    assert ModelState("pocket", "ready", "Q8_0", 2048).label(max_chars=40) == "pocket Q8_0"
    assert ModelState("pocket", "failed").label(max_chars=40) == "pocket not loaded"


def test_long_names_lose_their_middle() -> None:
    assert shorten("a-very-long-name", 9) == "a-ve…name"
    assert shorten("abc", 2) == "ab"
    label = ModelState("some-organisation/some-model-70b", "ready", "Q4_K_M").label(max_chars=24)
    assert len(label) == 24
    assert label.endswith("Q4_K_M")


def test_choices_are_found_by_words_and_marked_when_loaded() -> None:
    tags = [
        {"name": "pocket:latest", "size": 31, "details": {"quantization_level": "Q8_0"}},
        {"name": "qwen3:8b", "size": 4_920, "details": None},
    ]
    pocket, qwen = parse_choices(tags, [{"name": "pocket:latest"}])
    assert pocket.is_loaded
    assert not qwen.is_loaded
    assert pocket.matches("Q8 pock")
    assert not qwen.matches("pocket")
    assert qwen.matches("")

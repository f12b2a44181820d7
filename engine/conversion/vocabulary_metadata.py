"""A Hugging Face tokenizer's files as the vocabulary of a GGUF file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from engine.conversion.sentencepiece import read_scores
from engine.text.template_loading import read_directory_templates
from engine.tokenizer.pretokenizers import PreTokenizer, find_pretokenizer
from models.errors import InvalidModelFile, NotFound, Unsupported
from models.formats.gguf import Value

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

CANDIDATES = (
    "llama-bpe",
    "qwen2",
    "gpt-2",
    "starcoder",
    "tekken",
    "gpt-4o",
    "deepseek-v3",
    "deepseek-llm",
    "deepseek-coder",
    "llama3",
    "qwen35",
    "falcon",
    "bloom",
    "default",
    "seed-coder",
    "superbpe",
    "viking",
    "jais2",
    "youtu",
)
"""Names of `tokenizer.ggml.pre` that are tried, the commonest first."""

SAMPLE = (
    "Hello  world!\n\n\t I'm HE'LL we've DON'T  it's 1 12 123 1234 12345678 3.14 x86_64\r\n"
    '   indented\n\n\n  CamelCaseWords snake_case_words --flag="a b" (x+y)/z; // note\t\ttabs\n'
    "äöüß ÀÉÎ Ünïcödé Привет мир Ελληνικά 你好、世界。这是测试123 こんにちは、カタカナ 한국어 "
    "नमस्ते สวัสดี שלום مرحبا ١٢٣ ½ ² Ⅷ 🙂🚀👩‍💻 … — “quoted” «guillemets» $100 €5 a\u0301 \u00a0nbsp"
    "  \n \n trailing spaces   \n!!! ??? ... ''' ``` ###a #b @c &d%e^f*g  'Twas O'Neill's 'S 'RE\n"
)
"""Text on which the usual ways to cut words differ."""

Json = dict[str, Any]


def vocabulary_metadata(directory: Path, config: Json) -> dict[str, Value]:
    """The `tokenizer.*` values for the model in `directory`.

    Raises:
        NotFound: there is no tokenizer.json.
        InvalidModelFile: it is damaged.
        Unsupported: GGUF has no name for its way to cut words, or for its kind.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise NotFound(f"{directory}: no tokenizer.json in this model directory")
    described = _read_json(path)
    kind = described.get("model", {}).get("type", "")
    if kind != "BPE":
        raise Unsupported(f"{path}: a {kind or 'nameless'} tokenizer; BPE can be converted")
    texts, types = _tokens(described, int(config["vocab_size"]))
    settings = _read_json(directory / "tokenizer_config.json")
    tokenizer = Tokenizer.from_file(str(path))
    if described["model"].get("byte_fallback"):
        values = _sentence_pieces(described, texts, types, directory)
    else:
        values = _byte_level(described, tokenizer)
    values |= {
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": np.array(types, np.int32),
    }
    values |= _special_ids(tokenizer, settings, _read_json(directory / "generation_config.json"))
    for name, template in read_directory_templates(directory).items():
        key = "tokenizer.chat_template" + ("" if name == "default" else f".{name}")
        values[key] = template
    return values


def _read_json(path: Path) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InvalidModelFile(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise InvalidModelFile(f"{path}: must hold a JSON object")
    return value


def _tokens(described: Json, vocab_size: int) -> tuple[list[str], list[int]]:
    """Every token and its kind; ids that nothing has are padding, as rows of the embedding are."""
    by_id = {index: text for text, index in described["model"]["vocab"].items()}
    types = dict.fromkeys(by_id, _NORMAL)
    for index, text in by_id.items():
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            types[index] = _BYTE
    for added in described.get("added_tokens", []):
        index = int(added["id"])
        by_id[index] = added["content"]
        types[index] = _CONTROL if added.get("special") else _USER_DEFINED
    size = max(vocab_size, max(by_id) + 1)
    texts = [by_id.get(index, f"[PAD{index}]") for index in range(size)]
    return texts, [types.get(index, _UNUSED) for index in range(size)]


def _byte_level(described: Json, tokenizer: Tokenizer) -> dict[str, Value]:
    merges = described["model"].get("merges", [])
    joined = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    name = detect_pretokenizer(tokenizer, ignores_merges=described["model"].get("ignore_merges"))
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.merges": joined,
    }


def detect_pretokenizer(tokenizer: Tokenizer, *, ignores_merges: bool | None = None) -> str:
    """The `tokenizer.ggml.pre` whose patterns cut the sample as this tokenizer does.

    Raises:
        Unsupported: none does.
    """
    if tokenizer.pre_tokenizer is None:
        raise Unsupported("a byte pair tokenizer that does not cut words cannot be converted")
    expected = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(SAMPLE)]
    found = []
    for name in CANDIDATES:
        words = find_pretokenizer(name)
        if _cut(words) == expected:
            found.append((words.whole_words_first != bool(ignores_merges), name))
    if not found:
        raise Unsupported(
            "this tokenizer cuts words in a way that GGUF has no name for",
            hint=f"Known: {', '.join(CANDIDATES)}.",
        )
    return min(found, key=lambda item: item[0])[1]


def _cut(words: PreTokenizer) -> list[str]:
    splits: list[pre_tokenizers.PreTokenizer] = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in words.patterns
    ]
    splits.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return [piece for piece, _ in pre_tokenizers.Sequence(splits).pre_tokenize_str(SAMPLE)]


def _sentence_pieces(
    described: Json, texts: list[str], types: list[int], directory: Path
) -> dict[str, Value]:
    """Scores from tokenizer.model where it is there; else from the order of the merges."""
    unknown = described["model"].get("unk_token")
    if unknown in texts:
        types[texts.index(unknown)] = _UNKNOWN
    scores = np.full(len(texts), -1e6, np.float32)
    stored = directory / "tokenizer.model"
    known = read_scores(stored.read_bytes()) if stored.is_file() else _scores_of_merges(described)
    for index, text in enumerate(texts):
        if text in known:
            scores[index] = known[text]
    normalizer = json.dumps(described.get("normalizer"))
    words = json.dumps(described.get("pre_tokenizer"))
    prefix = "Prepend" in normalizer or '"prepend_scheme": "first"' in words
    prefix = prefix or '"prepend_scheme": "always"' in words
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": prefix,
    }


def _scores_of_merges(described: Json) -> dict[str, float]:
    scores: dict[str, float] = {}
    for rank, merge in enumerate(described["model"].get("merges", [])):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        scores.setdefault(left + right, -float(rank))
    return scores


def _special_ids(tokenizer: Tokenizer, settings: Json, generation: Json) -> dict[str, Value]:
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    values: dict[str, Value] = {}
    for short, long in names.items():
        token = settings.get(f"{short}_token")
        text = token.get("content") if isinstance(token, dict) else token
        index = tokenizer.token_to_id(text) if isinstance(text, str) else None
        if index is None:
            stated = generation.get(f"{short}_token_id")
            first = stated[0] if isinstance(stated, list) and stated else stated
            index = first if isinstance(first, int) else None
        if index is not None:
            values[f"tokenizer.ggml.{long}_token_id"] = index
    around = tokenizer.encode("a", add_special_tokens=True).ids
    inside = tokenizer.encode("a", add_special_tokens=False).ids
    values["tokenizer.ggml.add_bos_token"] = around[:1] != inside[:1]
    values["tokenizer.ggml.add_eos_token"] = around[-1:] != inside[-1:]
    return values

"""A GGUF file's vocabulary as the files of a Hugging Face tokenizer."""

import json
from collections.abc import Sequence
from typing import Any

from engine.network.gguf_values import Metadata
from engine.tokenizer.pretokenizers import find_pretokenizer
from models.errors import Unsupported
from models.store.new_files import NewFile, text_file

_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 2, 3, 4, 5, 6

Json = dict[str, Any]


def tokenizer_files(metadata: Metadata) -> list[NewFile]:
    """tokenizer.json, tokenizer_config.json (with the chat template) and generation_config.json.

    Raises:
        Unsupported: a kind of vocabulary that has no such form here.
    """
    kind = metadata.string("tokenizer.ggml.model")
    builders = {"gpt2": _byte_level, "llama": _sentence_pieces}
    if kind not in builders:
        raise Unsupported(f"the tokenizer {kind!r} cannot be written as tokenizer.json")
    texts = metadata.strings("tokenizer.ggml.tokens")
    tokenizer = builders[kind](metadata, texts)
    tokenizer["added_tokens"] = _added_tokens(metadata, texts)
    ids = {name: _special_id(metadata, name) for name in _NAMED}
    named = {name: texts[index] for name, index in ids.items() if 0 <= index < len(texts)}
    files = {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            **tokenizer,
            "post_processor": _post_processor(metadata, texts, kind),
        },
        "tokenizer_config.json": _settings(metadata, named),
        "generation_config.json": {
            f"{name}_token_id": ids[name] for name in ("bos", "eos") if name in named
        },
    }
    return [
        text_file(name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        for name, content in files.items()
    ]


_NAMED = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def special_token_ids(metadata: Metadata) -> dict[str, int | None]:
    """What config.json says of them; None where there is none, since classes have defaults."""
    ids = {"bos": "bos", "eos": "eos", "pad": "padding"}
    found = {name: _special_id(metadata, long) for name, long in ids.items()}
    return {f"{name}_token_id": index if index >= 0 else None for name, index in found.items()}


def _special_id(metadata: Metadata, name: str) -> int:
    """The id of a special token, -1 if there is none; SentencePiece's have places of their own."""
    is_pieces = metadata.string("tokenizer.ggml.model") == "llama"
    default = {"unknown": 0, "bos": 1, "eos": 2}.get(name, -1) if is_pieces else -1
    return metadata.integer(f"tokenizer.ggml.{name}_token_id", default)


def _settings(metadata: Metadata, named: dict[str, str]) -> Json:
    settings: Json = {_NAMED[name]: text for name, text in named.items()}
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["model_max_length"] = metadata.integer(".context_length", 2048)
    settings["add_bos_token"] = _adds_bos(metadata)
    template = metadata.string("tokenizer.chat_template", "")
    if template:
        settings["chat_template"] = template
    return settings


def _adds_bos(metadata: Metadata) -> bool:
    default = metadata.string("tokenizer.ggml.model") == "llama"
    if not default:
        default = find_pretokenizer(metadata.string("tokenizer.ggml.pre", "")).add_bos
    return metadata.flag("tokenizer.ggml.add_bos_token", default)


def _types(metadata: Metadata, texts: list[str]) -> list[int]:
    stored = metadata.array("tokenizer.ggml.token_type")
    return [1] * len(texts) if stored is None else [int(kind) for kind in stored]


def _added_tokens(metadata: Metadata, texts: list[str]) -> list[Json]:
    special = {_special_id(metadata, name) for name in ("bos", "eos", "unknown")}
    return [
        {
            "id": index,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind != _USER_DEFINED,
        }
        for index, (text, kind) in enumerate(zip(texts, _types(metadata, texts), strict=True))
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) or (index in special and kind != _BYTE)
    ]


def _post_processor(metadata: Metadata, texts: list[str], kind: str) -> Json | None:
    """What stands around every text."""
    bos, eos = _special_id(metadata, "bos"), _special_id(metadata, "eos")
    before = [bos] if _adds_bos(metadata) and bos >= 0 else []
    after = [eos] if metadata.flag("tokenizer.ggml.add_eos_token", False) and eos >= 0 else []
    if not before and not after:
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                "use_regex": False} if kind == "gpt2" else None  # fmt: skip

    def named(index: int) -> Json:
        return {"SpecialToken": {"id": texts[index], "type_id": 0}}

    def template(*names: str) -> list[Json]:
        texts_here: list[Json] = [{"Sequence": {"id": name, "type_id": 0}} for name in names]
        return [*map(named, before), *texts_here, *map(named, after)]

    return {
        "type": "TemplateProcessing",
        "single": template("A"),
        "pair": template("A", "B"),
        "special_tokens": {
            texts[index]: {"id": texts[index], "ids": [index], "tokens": [texts[index]]}
            for index in (*before, *after)
        },
    }


def _model(
    metadata: Metadata, texts: list[str], merges: Sequence[Sequence[str]], **more: Any
) -> Json:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {
            text: index
            for index, (text, kind) in enumerate(zip(texts, _types(metadata, texts), strict=True))
            if kind != _UNUSED
        },
        "merges": merges,
        **more,
    }


def _byte_level(metadata: Metadata, texts: list[str]) -> Json:
    words = find_pretokenizer(metadata.string("tokenizer.ggml.pre", ""))
    if words.raw_utf8:
        raise Unsupported("this byte pair vocabulary cannot be written as tokenizer.json")
    merges = [merge.split(" ", 1) for merge in metadata.strings("tokenizer.ggml.merges")]
    splits: list[Json] = [
        {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        for pattern in words.patterns
    ]
    byte_level = {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    known = set(texts)
    usable = [pair for pair in merges if {*pair, "".join(pair)} <= known]
    return {
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [*splits, {"type": "ByteLevel", **byte_level}],
        },
        "decoder": {"type": "ByteLevel", **byte_level},
        "model": _model(metadata, texts, usable, ignore_merges=words.whole_words_first),
    }


def _sentence_pieces(metadata: Metadata, texts: list[str]) -> Json:
    """SentencePiece merges the pair whose whole has the highest score; here that is an order."""
    prefix = metadata.flag("tokenizer.ggml.add_space_prefix", True)
    scores = metadata.array("tokenizer.ggml.scores")
    ranked = range(len(texts), 0, -1) if scores is None else scores.tolist()
    space = [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    unknown = _special_id(metadata, "unknown")
    decoders: list[Json] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    normalizers: list[Json] = [*([{"type": "Prepend", "prepend": "▁"}] if prefix else []), *space]
    merges = _merges_of_scores(texts, _types(metadata, texts), list(ranked))
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _model(
            metadata, texts, merges, unk_token=texts[unknown], fuse_unk=True, byte_fallback=True
        ),
    }


def _merges_of_scores(
    texts: list[str], types: list[int], scores: list[float]
) -> list[tuple[str, str]]:
    """Every pair of pieces whose whole is a piece, best whole first; as transformers does it."""
    ids = {text: index for index, text in enumerate(texts)}
    found: list[tuple[float, int, int, str, str]] = []
    for index, text in enumerate(texts):
        if types[index] != 1:
            continue
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ids and right in ids:
                found.append((-scores[index], ids[left], ids[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]
